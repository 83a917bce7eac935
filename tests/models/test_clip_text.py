"""The text encoder of CLIP: against explicit attention, from two kinds of file, and what it refuses."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from naive_clip_text import as_clip, naive_text_feature, needs_open_clip, text_tensors
from peers import LISTINGS, listing

from reid.models import clip_text
from reid.models.clip_text import TextEncoder, learned_context, require_open_clip, tokenize_prompt
from reid.utils import InputError

FILE = Path("clip.pth")
START, END, A, X, DOT = 49406, 49407, 320, 343, 269


@needs_open_clip
@pytest.mark.parametrize(("noun", "word"), [("person", 2533), ("vehicle", 5299)])
def test_the_prompt_is_five_tokens_then_four_to_learn_then_the_noun(noun, word):
    ids = tokenize_prompt(noun)
    assert ids.shape == (77,)
    assert ids[:12].tolist() == [START, A, 1125, 539, A, X, X, X, X, word, DOT, END]
    assert not ids[12:].any()
    assert ids.argmax() == 5 + 4 + 2


@needs_open_clip
@pytest.mark.parametrize(
    ("sizes", "heads"), [({}, 1), ({"width": 128, "depth": 1, "hidden": 100, "out_dim": 9}, 2)]
)
def test_equals_explicit_attention_over_all_tokens(sizes, heads):
    tensors = text_tensors(**sizes)
    encoder = TextEncoder.from_tensors(tensors, FILE)
    context = tensors["prompt_learner.cls_ctx"]
    features = encoder(context)
    for row, words in enumerate(context):
        prefix, suffix = tensors["prompt_learner.token_prefix"][0], tensors["prompt_learner.token_suffix"][0]
        expected = naive_text_feature(tensors, torch.cat([prefix, words, suffix]), 11, heads)
        torch.testing.assert_close(features[row].double(), expected, atol=2e-5, rtol=1e-4)


@needs_open_clip
def test_the_feature_is_of_the_prompts_own_end_token():
    """A noun of several tokens moves the end."""
    assert tokenize_prompt("delivery van").argmax() == 12
    tensors = text_tensors()
    encoder = TextEncoder.from_tensors(as_clip(tensors), FILE, "delivery van")
    prompt = encoder.prompts(tensors["prompt_learner.cls_ctx"][:1])
    expected = naive_text_feature(tensors, prompt[0], 12, 1)
    torch.testing.assert_close(encoder.encode(prompt)[0].double(), expected, atol=2e-5, rtol=1e-4)


@needs_open_clip
def test_a_clip_file_gives_the_embeddings_of_the_prompts_tokens():
    tensors = as_clip(text_tensors())
    words = tensors["token_embedding.weight"]
    encoder = TextEncoder.from_tensors(tensors, FILE, "vehicle")
    prompts = encoder.prompts(torch.full((2, 4, 16), 9.0))
    ids = [START, A, 1125, 539, A, None, None, None, None, 5299, DOT, END, 0, 0]
    for place, token in enumerate(ids):
        expected = torch.full((16,), 9.0) if token is None else words[token]
        assert torch.equal(prompts[1, place], expected), place
    assert torch.equal(prompts[:, 76], words[0].expand(2, -1))


@needs_open_clip
def test_both_kinds_of_file_give_the_same_encoder():
    tensors = as_clip(text_tensors())
    first = TextEncoder.from_tensors(tensors, FILE)
    stored = text_tensors() | {
        "prompt_learner.token_prefix": first.token_prefix,
        "prompt_learner.token_suffix": first.token_suffix,
    }
    second = TextEncoder.from_tensors(stored, FILE)
    context = torch.ones(2, 4, 16)
    assert torch.equal(first(context), second(context))
    half = {key: value.half() for key, value in tensors.items()}
    assert TextEncoder.from_tensors(half, FILE)(context).dtype == torch.float32


@needs_open_clip
@pytest.mark.slow
@pytest.mark.skipif(not LISTINGS.is_dir(), reason="listings of other code bases' files are not here")
@pytest.mark.parametrize(("name", "dim"), [("clipreid_vit_msmt17", 512), ("clipreid_rn50_msmt17", 1024)])
def test_a_checkpoint_of_clip_reids_own_names_and_shapes_fits(name, dim):
    shapes = {key: shape for key, shape in listing(name).items() if key.startswith(("text_", "prompt_"))}
    tensors = {key: torch.zeros(shape) for key, shape in shapes.items()}
    encoder = TextEncoder.from_tensors(tensors, FILE)
    context = learned_context(tensors, encoder, FILE)
    assert context.shape == (1041, 4, 512)
    assert encoder(context[:2]).shape == (2, dim)


@needs_open_clip
def test_the_encoder_is_frozen_and_passes_gradients_to_the_words():
    encoder = TextEncoder.from_tensors(text_tensors(), FILE)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    context = torch.ones(2, 4, 16, requires_grad=True)
    encoder(context).sum().backward()
    assert (context.grad.abs().sum((1, 2)) > 0).all()


@needs_open_clip
def test_learned_words_are_read():
    tensors = text_tensors(classes=5)
    encoder = TextEncoder.from_tensors(tensors, FILE)
    assert torch.equal(learned_context(tensors, encoder, FILE), tensors["prompt_learner.cls_ctx"])


@needs_open_clip
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (None, r"clip.pth has no learned prompts \(prompt_learner.cls_ctx\)"),
        (torch.ones(3, 5, 16), r"cls_ctx must be \(K, 4, 16\), got \(3, 5, 16\)"),
        (torch.ones(3, 4, 8), r"cls_ctx must be \(K, 4, 16\), got \(3, 4, 8\)"),
        (torch.ones(0, 4, 16), r"cls_ctx must be \(K, 4, 16\), got \(0, 4, 16\)"),
        (torch.full((3, 4, 16), torch.nan), "cls_ctx must be finite"),
    ],
)
def test_unusable_learned_words_are_refused(words, message):
    tensors = text_tensors()
    encoder = TextEncoder.from_tensors(tensors, FILE)
    tensors |= {"prompt_learner.cls_ctx": words}
    with pytest.raises(InputError, match=message):
        learned_context({k: v for k, v in tensors.items() if v is not None}, encoder, FILE)


LAYER = "text_encoder.transformer.resblocks."


@needs_open_clip
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("prompt_learner.token_prefix", "no whole text encoder: token_prefix missing"),
        ("text_encoder.text_projection", "no whole text encoder: text_projection missing"),
        (f"{LAYER}0.mlp.c_fc.weight", "transformer.resblocks.0.mlp.c_fc.weight missing"),
        (f"{LAYER}1.attn.in_proj_bias", "transformer.resblocks.1.attn.in_proj_bias is missing"),
        ("text_encoder.ln_final.bias", "ln_final.bias is missing"),
    ],
)
def test_what_is_missing_is_named(key, message):
    tensors = text_tensors()
    del tensors[key]
    with pytest.raises(InputError, match=f"^clip.pth .*{message}"):
        TextEncoder.from_tensors(tensors, FILE)


@needs_open_clip
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("text_encoder.positional_embedding", torch.ones(76, 16), r"shape \(77, 16\), got \(76, 16\)"),
        (
            "text_encoder.positional_embedding",
            torch.ones(77),
            r"must have 2 dimensions and values, got \(77,\)",
        ),
        ("text_encoder.text_projection", torch.ones(16, 0), r"and values, got \(16, 0\)"),
        ("prompt_learner.token_prefix", torch.ones(1, 4, 16), r"shape \(1, 5, 16\), got \(1, 4, 16\)"),
        (f"{LAYER}1.ln_1.weight", torch.ones(8), r"shape \(16,\), got \(8,\)"),
        (f"{LAYER}1.ln_1.weight", torch.full((16,), torch.nan), "must be finite"),
        (f"{LAYER}1.ln_3.weight", torch.ones(8), "ln_3.weight is unexpected"),
        (f"{LAYER}0.mlp.c_fc.weight", torch.ones(24, 129), "must be a multiple of 64 or less, got 129"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(key, value, message):
    with pytest.raises(InputError, match=message):
        TextEncoder.from_tensors(text_tensors() | {key: value}, FILE)


@needs_open_clip
def test_a_file_without_texts_and_another_vocabulary_are_refused():
    with pytest.raises(
        InputError, match=r"has no text encoder: neither .* among its 1 keys, such as visual.proj"
    ):
        TextEncoder.from_tensors({"visual.proj": torch.ones(2, 2)}, FILE)
    with pytest.raises(InputError, match=r"token_embedding.weight must be \(49408, D\), got \(5, 16\)"):
        TextEncoder.from_tensors(
            as_clip(text_tensors()) | {"token_embedding.weight": torch.ones(5, 16)}, FILE
        )
    sparse = torch.zeros(49408, 16).to_sparse()
    with pytest.raises(InputError, match=r"token_embedding.weight must be a dense tensor"):
        TextEncoder.from_tensors(as_clip(text_tensors()) | {"token_embedding.weight": sparse}, FILE)


@needs_open_clip
@pytest.mark.parametrize(
    ("noun", "message"), [(" ", "must name what the images show"), ("car " * 80, "at most 77 tokens")]
)
def test_a_noun_that_makes_no_prompt_is_refused(noun, message):
    with pytest.raises(InputError, match=message):
        tokenize_prompt(noun)


def test_without_open_clip_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(InputError, match=r'pip install "denoisereid\[clip\]"$') as refusal:
        require_open_clip()
    assert "\n" not in str(refusal.value)


def test_importing_the_module_needs_no_open_clip(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    spec = importlib.util.spec_from_file_location("clip_text_again", clip_text.__file__)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

"""CLIP-ReID's first stage: prompts that fit images, the same for the same seed, and what is refused."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from naive_clip_text import needs_open_clip, text_tensors
from torch import nn

from reid.engine.prompts import ProjectedFeature, PromptSettings, encode_contexts, learn_prompts, noun_of
from reid.models.clip_text import TextEncoder
from reid.utils import InputError

FAST = PromptSettings(epochs=6, batch_size=5, peak_lr=2e-2, warmup=2, warmup_lr=1e-3, seed=3)


@pytest.fixture
def encoder():
    return TextEncoder.from_tensors(text_tensors(), Path("clip.pth"))


def images(classes=4, each=3, dim=6):
    """Features in groups, and their labels."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, dim, generator=generator) * 2
    labels = torch.arange(classes).repeat_interleave(each)
    return centres[labels] + 0.1 * torch.randn(len(labels), dim, generator=generator), labels


def learn(*arguments):
    return learn_prompts(*arguments, progress=False)


def test_the_learning_rate_rises_then_falls_as_in_clip_reid():
    rates = [PromptSettings().learning_rate(epoch) for epoch in range(1, 121)]
    # By hand: a fifth of the way from 1e-5 to 3.5e-4; at half time the mean of peak and floor.
    assert rates[0] == pytest.approx(1e-5 + 3.4e-4 / 5)
    assert rates[3] == pytest.approx(1e-5 + 4 * 3.4e-4 / 5)
    assert rates[59] == pytest.approx((3.5e-4 + 1e-6) / 2)
    assert rates[-1] == pytest.approx(1e-6)
    assert all(later < earlier for earlier, later in pairwise(rates[4:]))
    assert max(rates) == rates[4] < 3.5e-4


@needs_open_clip
def test_texts_come_to_tell_identities_apart(encoder):
    feats, labels = images()
    learned = learn(feats, labels, encoder, replace(FAST, epochs=30))
    assert len(learned.losses) == 30
    assert learned.losses[-1] < 0.7 * learned.losses[0]
    picked = (feats @ learned.text_features.T).argmax(1)
    assert torch.equal(picked, labels)


@needs_open_clip
def test_the_features_are_those_of_the_learned_words(encoder):
    learned = learn(*images(), encoder, FAST)
    assert learned.cls_ctx.shape == (4, 4, 16)
    assert learned.text_features.shape == (4, 6)
    torch.testing.assert_close(encoder(learned.cls_ctx), learned.text_features)
    assert not learned.cls_ctx.requires_grad
    assert not learned.text_features.requires_grad


@needs_open_clip
def test_a_step_equals_one_written_out(encoder):
    """One batch holds all images: the gradient does not depend on their order."""
    feats, labels = images()
    settings = PromptSettings(epochs=1, batch_size=12, warmup=0, floor_lr=1e-3, seed=5)
    words = 0.02 * torch.randn(4, 4, 16, generator=torch.Generator().manual_seed(5))
    words.requires_grad_()
    scores = feats @ encoder(words)[labels].T
    same = (labels[:, None] == labels[None]).float()
    loss = 0
    for table in (scores, scores.T):
        log_probs = table - table.exp().sum(1, keepdim=True).log()
        loss -= ((log_probs * same).sum(1) / same.sum(1)).mean()
    loss.backward()
    # Adam's first step is the rate times the sign of the gradient, which the decay adds to.
    gradient = words.grad + 1e-4 * words.detach()
    expected = words.detach() - 1e-3 * gradient / (gradient.abs() + 1e-8)
    learned = learn(feats, labels, encoder, settings)
    assert learned.losses == [pytest.approx(loss.item(), rel=1e-5)]
    torch.testing.assert_close(learned.cls_ctx, expected, atol=2e-5, rtol=1e-4)


@needs_open_clip
def test_words_that_no_image_speaks_for_decay(encoder):
    """Images of length 0 give no gradient: a step of Adam goes towards 0 by the rate."""
    settings = PromptSettings(epochs=1, batch_size=12, warmup=0, floor_lr=1e-5, seed=5)
    words = 0.02 * torch.randn(4, 4, 16, generator=torch.Generator().manual_seed(5))
    learned = learn(torch.zeros(12, 6), images()[1], encoder, settings)
    large = words.abs() > 1e-3
    torch.testing.assert_close(
        learned.cls_ctx[large], (words - 1e-5 * words.sign())[large], atol=1e-6, rtol=0
    )


@needs_open_clip
def test_the_seed_fixes_everything_and_global_generators_nothing(encoder):
    first = learn(*images(), encoder, FAST)
    state = torch.get_rng_state()
    torch.manual_seed(99)
    again = learn(*images(), encoder, FAST)
    other = learn(*images(), encoder, replace(FAST, seed=4))
    assert first.losses == again.losses
    assert torch.equal(first.cls_ctx, again.cls_ctx)
    assert not torch.equal(first.cls_ctx, other.cls_ctx)
    torch.set_rng_state(state)


@needs_open_clip
def test_the_encoder_and_the_images_stay_as_they_are(encoder):
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    feats, labels = images()
    encoder.requires_grad_()
    learn(feats.requires_grad_(), labels, encoder, FAST)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert feats.grad is None
    assert all(parameter.grad is None for parameter in encoder.parameters())


@needs_open_clip
def test_a_last_batch_of_one_image_is_learned_from(encoder):
    feats, labels = images(classes=3, each=2)
    assert len(learn(feats, labels, encoder, replace(FAST, batch_size=5, epochs=2)).losses) == 2


@needs_open_clip
def test_many_prompts_are_encoded_in_chunks(encoder, monkeypatch):
    words = torch.randn(7, 4, 16)
    whole = encode_contexts(encoder, words)
    monkeypatch.setattr("reid.engine.prompts.CHUNK", 3)
    torch.testing.assert_close(encode_contexts(encoder, words), whole)


@needs_open_clip
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, y: (f[0], y), r"must be \(N, D\) with one label each, got \(6,\) and \(12,\)"),
        (lambda f, y: (f, y[:5]), r"got \(12, 6\) and \(5,\)"),
        (lambda f, y: (f[:0], y[:0]), r"got \(0, 6\) and \(0,\)"),
        (lambda f, y: (f[:, :4], y), "must have one width, got 4 and 6"),
        (
            lambda f, y: (f.index_fill(0, torch.tensor([1, 2]), torch.inf), y),
            "must be finite, 2 of 12 are not",
        ),
        (lambda f, y: (f, y * 2), r"0..K-1, each with an image, got 4 from 0 to 6"),
        (lambda f, y: (f, y - 1), "got 4 from -1 to 2"),
        (lambda f, y: (f, y.float()), "labels must be whole numbers"),
    ],
)
def test_images_that_cannot_be_learned_from_are_refused(encoder, change, message):
    with pytest.raises(InputError, match=message):
        learn(*change(*images()), encoder, FAST)


@needs_open_clip
def test_a_loss_that_is_no_longer_finite_is_refused(encoder):
    feats, labels = images()
    with pytest.raises(InputError, match=r"stay finite, epoch 1 gave a loss of (inf|nan); lower peak_lr"):
        learn(feats * 1e37, labels, encoder, FAST)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("warmup", -1),
        ("seed", -1),
        ("peak_lr", -1.0),
        ("floor_lr", torch.inf),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=rf"^{name} must be .*, got {value}"):
        PromptSettings(**{name: value})


class Stub(nn.Module):
    """A model of several features, the n-th being n times the image's mean colour."""

    def __init__(self, branches):
        super().__init__()
        self.branches = branches

    def forward(self, images):
        colour = images.mean((2, 3))
        return SimpleNamespace(
            branches=[SimpleNamespace(feat=n * colour) for n in range(1, self.branches + 1)]
        )


def test_the_projected_feature_is_the_second_branch():
    feats = ProjectedFeature(Stub(3)).embed(torch.ones(2, 3, 4, 4))
    assert torch.equal(feats, torch.full((2, 3), 2.0))


def test_a_model_without_a_projected_feature_is_refused():
    with pytest.raises(
        InputError, match=r"in the space of the texts, which this model has not; use a MODEL\.NAME"
    ):
        ProjectedFeature(Stub(1)).embed(torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize(
    ("names", "noun"),
    [
        (["veri"], "vehicle"),
        (["veri", "vehicleid"], "vehicle"),
        (["msmt17"], "person"),
        (["veri", "a.csv"], "person"),
    ],
)
def test_vehicles_are_called_so(names, noun):
    assert noun_of(names) == noun

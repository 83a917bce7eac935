"""CLIP's text encoder: random tensors under the names of two kinds of file, and an oracle in plain loops."""

import importlib.util

import pytest
import torch

needs_open_clip = pytest.mark.skipif(
    importlib.util.find_spec("open_clip") is None,
    reason='open_clip is missing: pip install "denoisereid[clip]"',
)
LENGTH, WORDS = 77, 49408


def text_tensors(width=16, depth=2, hidden=24, out_dim=6, classes=3, seed=0):
    """What a CLIP-ReID checkpoint holds of texts."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, std=0.3):
        return torch.randn(*shape, generator=generator) * std

    state = {
        "prompt_learner.cls_ctx": draw(classes, 4, width),
        "prompt_learner.token_prefix": draw(1, 5, width),
        "prompt_learner.token_suffix": draw(1, LENGTH - 9, width),
        "text_encoder.positional_embedding": draw(LENGTH, width),
        "text_encoder.text_projection": draw(width, out_dim),
        "text_encoder.ln_final.weight": 1 + draw(width),
        "text_encoder.ln_final.bias": draw(width),
    }
    for i in range(depth):
        block = f"text_encoder.transformer.resblocks.{i}."
        state |= {
            f"{block}attn.in_proj_weight": draw(3 * width, width),
            f"{block}attn.in_proj_bias": draw(3 * width),
            f"{block}attn.out_proj.weight": draw(width, width),
            f"{block}attn.out_proj.bias": draw(width),
            f"{block}mlp.c_fc.weight": draw(hidden, width),
            f"{block}mlp.c_fc.bias": draw(hidden),
            f"{block}mlp.c_proj.weight": draw(width, hidden),
            f"{block}mlp.c_proj.bias": draw(width),
        }
        for norm in ("ln_1", "ln_2"):
            state |= {f"{block}{norm}.weight": 1 + draw(width), f"{block}{norm}.bias": draw(width)}
    return state


def as_clip(state, seed=1):
    """The same encoder as a CLIP model's file has it: with the embeddings of all words, and an image side."""
    encoder = {k.removeprefix("text_encoder."): v for k, v in state.items() if k.startswith("text_encoder.")}
    width = encoder["positional_embedding"].shape[1]
    words = torch.randn(WORDS, width, generator=torch.Generator().manual_seed(seed)) * 0.3
    image = {"visual.proj": torch.ones(2, 2), "visual.positional_embedding": torch.ones(5, 2)}
    return encoder | image | {"token_embedding.weight": words, "logit_scale": torch.tensor(4.6)}


def naive_text_feature(state, prompt, end, heads):
    """(out_dim,) for one prompt (77, width) without positions; every token is computed, token by token."""
    state = {k.removeprefix("text_encoder."): v.double() for k, v in state.items()}
    x = prompt.double() + state["positional_embedding"]
    depth = sum(key.endswith("in_proj_weight") for key in state)
    for i in range(depth):
        block = {
            k.removeprefix(f"transformer.resblocks.{i}."): v
            for k, v in state.items()
            if k.startswith(f"transformer.resblocks.{i}.")
        }
        y = _norm(x, block["ln_1.weight"], block["ln_1.bias"])
        x = x + _attention(y, block, heads) @ block["attn.out_proj.weight"].T + block["attn.out_proj.bias"]
        y = _norm(x, block["ln_2.weight"], block["ln_2.bias"])
        y = y @ block["mlp.c_fc.weight"].T + block["mlp.c_fc.bias"]
        y = y / (1 + torch.exp(-1.702 * y))
        x = x + y @ block["mlp.c_proj.weight"].T + block["mlp.c_proj.bias"]
    x = _norm(x, state["ln_final.weight"], state["ln_final.bias"])
    return x[end] @ state["text_projection"]


def _norm(x, weight, bias):
    centred = x - x.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt() * weight + bias


def _attention(x, block, heads):
    """Each token over itself and those before it, head by head."""
    q, k, v = (x @ block["attn.in_proj_weight"].T + block["attn.in_proj_bias"]).chunk(3, dim=1)
    out, size = torch.zeros_like(q), x.shape[1] // heads
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        for token in range(len(x)):
            seen = slice(0, token + 1)
            scores = torch.exp(k[seen, columns] @ q[token, columns] / size**0.5)
            out[token, columns] = scores @ v[seen, columns] / scores.sum()
    return out

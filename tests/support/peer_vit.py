"""The vision transformers of TransReID, TransReID-SSL and fast-reid: random state dicts, and oracles.

An oracle maps (B, 3, H, W) images to the (B, dim) retrieval feature as the peer does in evaluation.
"""

import torch
from peer_parts import (
    Draw,
    any_norm,
    attention,
    batch_norm,
    conv,
    count,
    gelu,
    layer_norm,
    linear,
    power_mean,
)

EPS = 1e-6
IMAGENET_CLASSES = 1000
ICS_CHANNELS = 64


def block_state(draw, prefix, width, mlp_ratio, qkv_bias):
    hidden = int(width * mlp_ratio)
    return (
        draw.norm(f"{prefix}norm1.", width)
        | draw.linear(f"{prefix}attn.qkv.", 3 * width, width, bias=qkv_bias)
        | draw.linear(f"{prefix}attn.proj.", width, width)
        | draw.norm(f"{prefix}norm2.", width)
        | draw.linear(f"{prefix}mlp.fc1.", hidden, width)
        | draw.linear(f"{prefix}mlp.fc2.", width, hidden)
    )


def stem_state(draw, prefix, width, ics):
    if not ics:
        return draw.conv(f"{prefix}proj.", width, 3, 16, bias=True)
    dim = ICS_CHANNELS
    return (
        draw.conv(f"{prefix}conv.0.", dim, 3, 7)
        | draw.ibn(f"{prefix}conv.1.", dim)
        | draw.conv(f"{prefix}conv.3.", dim, dim, 3)
        | draw.ibn(f"{prefix}conv.4.", dim)
        | draw.conv(f"{prefix}conv.6.", dim, dim, 3)
        | draw.batch_norm(f"{prefix}conv.7.", dim)
        | draw.conv(f"{prefix}proj.", width, dim, 8, bias=True)
    )


def trunk_state(draw, prefix, *, width, depth, mlp_ratio, qkv_bias, tokens, sie_rows=0, ics=False):
    state = {
        f"{prefix}cls_token": draw.normal(1, 1, width),
        f"{prefix}pos_embed": draw.normal(1, tokens, width),
    }
    if sie_rows:
        state[f"{prefix}sie_embed"] = draw.normal(sie_rows, 1, width, std=0.3)
    state |= stem_state(draw, f"{prefix}patch_embed.", width, ics)
    for i in range(depth):
        state |= block_state(draw, f"{prefix}blocks.{i}.", width, mlp_ratio, qkv_bias)
    return state | draw.norm(f"{prefix}norm.", width)


def vit_state(
    *,
    width,
    depth,
    tokens,
    classes,
    mlp_ratio=4,
    qkv_bias=True,
    seed=0,
    sie_rows=0,
    jigsaw=False,
    ics=False,
    fcneck=0,
    imagenet_head=True,
):
    """A file of TransReID or TransReID-SSL.

    tokens counts the class token; sie_rows and fcneck: 0 for none; jigsaw adds b1, b2 and the parts' heads.
    """
    draw, dim = Draw(seed), fcneck or width
    state = trunk_state(
        draw,
        "base.",
        width=width,
        depth=depth,
        mlp_ratio=mlp_ratio,
        qkv_bias=qkv_bias,
        tokens=tokens,
        sie_rows=sie_rows,
        ics=ics,
    )
    if imagenet_head:
        state |= draw.linear("base.fc.", IMAGENET_CLASSES, width)
    if fcneck:
        state |= draw.linear("fcneck.", fcneck, width, bias=False)
    for branch in ("b1", "b2") if jigsaw else ():
        state |= block_state(draw, f"{branch}.0.", width, mlp_ratio, qkv_bias) | draw.norm(
            f"{branch}.1.", width
        )
    for part in ("", "_1", "_2", "_3", "_4") if jigsaw else ("",):
        state |= draw.linear(f"classifier{part}.", classes, dim, bias=False)
        state |= draw.batch_norm(f"bottleneck{part}.", dim)
    return state


def fastreid_vit_state(*, width, depth, tokens, classes, mlp_ratio=4, qkv_bias=True, seed=0):
    """A file of fast-reid (its third generation of heads)."""
    draw = Draw(seed)
    sizes = {"width": width, "depth": depth, "mlp_ratio": mlp_ratio, "qkv_bias": qkv_bias, "tokens": tokens}
    return (
        trunk_state(draw, "backbone.", **sizes)
        | draw.linear("heads.", classes, width, bias=False)
        | draw.batch_norm("heads.bottleneck.0.", width)
    )


def side_rows(camids=None, viewids=None, num_views=1):
    """Rows of the side information's table: cam * num_views + view, or whichever of the two is given."""
    if camids is None or viewids is None:
        return viewids if camids is None else camids
    return camids * num_views + viewids


def patch_tokens(state, prefix, images, stride):
    """(B, N, D), row by row. The ICS stem halves the image first, so its patches have half the stride."""
    if f"{prefix}conv.0.weight" not in state:
        return conv(state, f"{prefix}proj.", images, stride).flatten(2).transpose(1, 2)
    x = any_norm(state, f"{prefix}conv.1.", conv(state, f"{prefix}conv.0.", images, 2, 3)).relu()
    x = any_norm(state, f"{prefix}conv.4.", conv(state, f"{prefix}conv.3.", x, 1, 1)).relu()
    x = any_norm(state, f"{prefix}conv.7.", conv(state, f"{prefix}conv.6.", x, 1, 1)).relu()
    return conv(state, f"{prefix}proj.", x, stride // 2).flatten(2).transpose(1, 2)


def first_tokens(state, prefix, images, stride, rows, coe):
    """The blocks' input: class token and patches, + pos_embed + coe * sie_embed[row] on every token."""
    patches = patch_tokens(state, f"{prefix}patch_embed.", images, stride)
    x = torch.cat([state[f"{prefix}cls_token"].expand(len(images), -1, -1), patches], dim=1)
    x = x + state[f"{prefix}pos_embed"]
    return x if rows is None else x + coe * state[f"{prefix}sie_embed"][rows]


def block(state, prefix, x, heads, scale):
    q, k, v = linear(state, f"{prefix}attn.qkv.", layer_norm(state, f"{prefix}norm1.", x, EPS)).chunk(
        3, dim=-1
    )
    x = x + linear(state, f"{prefix}attn.proj.", attention(q, k, v, heads, scale))
    hidden = gelu(linear(state, f"{prefix}mlp.fc1.", layer_norm(state, f"{prefix}norm2.", x, EPS)))
    return x + linear(state, f"{prefix}mlp.fc2.", hidden)


def shuffled(x, shift, groups):
    """The patches of x (B, 1 + N, D) moved on by `shift` and dealt out over `groups`.

    The class token is left out: tokens shift.. come first, then 1..shift-1. A count that `groups` does not
    divide is filled up with the last token but one.
    """
    y = torch.cat([x[:, shift:], x[:, 1:shift]], dim=1)
    if y.shape[1] % groups:
        y = torch.cat([y, y[:, -2:-1]], dim=1)
    batch, _, dim = y.shape
    return y.reshape(batch, groups, -1, dim).transpose(1, 2).reshape(batch, -1, dim)


def jigsaw_features(state, x, heads, scale, shift, groups, rearrange):
    """The global and the four parts' features from the tokens before the last block."""

    def branch(name, tokens):
        return layer_norm(state, f"{name}.1.", block(state, f"{name}.0.", tokens, heads, scale), EPS)[:, 0]

    y = shuffled(x, shift, groups) if rearrange else x[:, 1:]
    n = (x.shape[1] - 1) // 4
    parts = [branch("b2", torch.cat([x[:, :1], y[:, k * n : (k + 1) * n]], dim=1)) for k in range(4)]
    return [branch("b1", x), *parts]


def vit_feature(
    state,
    images,
    *,
    prefix="base.",
    heads=None,
    scale=None,
    stride=16,
    rows=None,
    coe=3.0,
    gem=False,
    shift=5,
    groups=2,
    rearrange=True,
    neck_feat="before",
):
    """The retrieval feature of TransReID and TransReID-SSL.

    heads is width / 64 and scale head_dim^-0.5 unless given; rows (B,) adds the side information (see
    `side_rows`); gem adds the power mean of the patches; b1.* in the state makes it the jigsaw network, which
    shift, groups and rearrange belong to; neck_feat is "before" or "after" the bottleneck.
    """
    x = first_tokens(state, prefix, images, stride, rows, coe)
    heads = heads or x.shape[-1] // 64
    jigsaw = "b1.0.norm1.weight" in state
    for i in range(count(state, prefix + "blocks.{}.norm1.weight") - jigsaw):
        x = block(state, f"{prefix}blocks.{i}.", x, heads, scale)
    if jigsaw:
        features = jigsaw_features(state, x, heads, scale, shift, groups, rearrange)
    else:
        x = layer_norm(state, f"{prefix}norm.", x, EPS)
        features = [x[:, 0] + power_mean(x[:, 1:], 3, 1) if gem else x[:, 0]]
    if "fcneck.weight" in state:
        features = [linear(state, "fcneck.", feature) for feature in features]
    if neck_feat == "after":
        names = ["bottleneck.", *(f"bottleneck_{k}." for k in range(1, 5))]
        features = [batch_norm(state, name, feature) for name, feature in zip(names, features, strict=False)]
    return torch.cat([features[0], *(part / 4 for part in features[1:])], dim=1)


def fastreid_vit_feature(state, images, *, heads=None, scale=None, stride=16):
    """fast-reid's: the class token after its neck."""
    feature = vit_feature(state, images, prefix="backbone.", heads=heads, scale=scale, stride=stride)
    return batch_norm(state, "heads.bottleneck.0.", feature)

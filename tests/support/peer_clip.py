"""CLIP-ReID's ViT and ResNet: random state dicts under its keys, and oracles.

An oracle maps (B, 3, H, W) images to the (B, dim + embed) retrieval feature as CLIP-ReID evaluates.
"""

import torch
import torch.nn.functional as F
from peer_parts import Draw, attention, batch_norm, conv, count, layer_norm, linear, quick_gelu
from peer_resnet import stages_state

EPS = 1e-5


def resblock_state(draw, prefix, width):
    qkv = draw.linear("", 3 * width, width)
    return (
        {f"{prefix}attn.in_proj_{name}": value for name, value in qkv.items()}
        | draw.linear(f"{prefix}attn.out_proj.", width, width)
        | draw.norm(f"{prefix}ln_1.", width)
        | draw.linear(f"{prefix}mlp.c_fc.", 4 * width, width)
        | draw.linear(f"{prefix}mlp.c_proj.", width, 4 * width)
        | draw.norm(f"{prefix}ln_2.", width)
    )


def transformer_state(draw, prefix, width, depth):
    state = {}
    for i in range(depth):
        state |= resblock_state(draw, f"{prefix}transformer.resblocks.{i}.", width)
    return state


def text_state(draw, classes, width, depth, embed):
    """The learned prompts and the text encoder, which the stored image features no longer need."""
    context, prefix, length = 4, 5, 77
    state = {
        "prompt_learner.cls_ctx": draw.normal(classes, context, width),
        "prompt_learner.token_prefix": draw.normal(1, prefix, width),
        "prompt_learner.token_suffix": draw.normal(1, length - prefix - context, width),
        "text_encoder.positional_embedding": draw.normal(length, width),
        "text_encoder.text_projection": draw.normal(width, embed),
    }
    return (
        state
        | transformer_state(draw, "text_encoder.", width, depth)
        | draw.norm("text_encoder.ln_final.", width)
    )


def heads_state(draw, classes, width, embed, cv_rows):
    state = {"cv_embed": draw.normal(cv_rows, width, std=0.3)} if cv_rows else {}
    for name, dim in (("", width), ("_proj", embed)):
        state |= draw.linear(f"classifier{name}.", classes, dim, bias=False)
        state |= draw.batch_norm(f"bottleneck{name}.", dim)
    return state


def clip_vit_state(
    *,
    classes,
    tokens,
    width=768,
    depth=12,
    embed=512,
    cv_rows=0,
    text=True,
    text_width=512,
    text_depth=12,
    seed=0,
):
    """A file of CLIP-ReID's ViT; tokens counts the class token, text=False is its one-stage baseline."""
    draw, encoder = Draw(seed), "image_encoder."
    state = heads_state(draw, classes, width, embed, cv_rows)
    state |= {
        f"{encoder}class_embedding": draw.normal(width),
        f"{encoder}positional_embedding": draw.normal(tokens, width),
        f"{encoder}proj": draw.normal(width, embed, std=width**-0.5),
    }
    state |= draw.conv(f"{encoder}conv1.", width, 3, 16)
    state |= draw.norm(f"{encoder}ln_pre.", width)
    state |= transformer_state(draw, encoder, width, depth)
    state |= draw.norm(f"{encoder}ln_post.", width)
    return state | (text_state(draw, classes, text_width, text_depth, embed) if text else {})


def clip_rn50_state(
    *,
    classes,
    tokens,
    blocks=(3, 4, 6, 3),
    width=64,
    embed=1024,
    cv_rows=0,
    text=True,
    text_width=512,
    text_depth=12,
    seed=0,
):
    """A file of CLIP-ReID's ResNet; tokens counts the mean token, the last map has 32 * width channels."""
    draw, encoder, dim, half = Draw(seed), "image_encoder.", 32 * width, width // 2
    state = heads_state(draw, classes, dim, embed, cv_rows)
    for i, (out_dim, in_dim) in enumerate(((half, 3), (half, half), (width, half)), start=1):
        state |= draw.conv(f"{encoder}conv{i}.", out_dim, in_dim, 3)
        state |= draw.batch_norm(f"{encoder}bn{i}.", out_dim)
    state |= stages_state(draw, encoder, blocks, width)
    state[f"{encoder}attnpool.positional_embedding"] = draw.normal(tokens, dim)
    for name, out_dim in (("k", dim), ("q", dim), ("v", dim), ("c", embed)):
        state |= draw.linear(f"{encoder}attnpool.{name}_proj.", out_dim, dim)
    return state | (text_state(draw, classes, text_width, text_depth, embed) if text else {})


def resblock(state, prefix, x, heads):
    in_proj = {f"in.{name}": state[f"{prefix}attn.in_proj_{name}"] for name in ("weight", "bias")}
    q, k, v = linear(in_proj, "in.", layer_norm(state, f"{prefix}ln_1.", x, EPS)).chunk(3, dim=-1)
    x = x + linear(state, f"{prefix}attn.out_proj.", attention(q, k, v, heads))
    hidden = quick_gelu(linear(state, f"{prefix}mlp.c_fc.", layer_norm(state, f"{prefix}ln_2.", x, EPS)))
    return x + linear(state, f"{prefix}mlp.c_proj.", hidden)


def clip_vit_branches(state, images, *, heads=None, stride=16, rows=None, coe=1.0):
    """The class token before the last block (B, width), after ln_post (B, width), and projected (B, embed).

    Only the triplet loss reads the first. rows (B,) adds coe * cv_embed[row] to the class token alone.
    """
    encoder = "image_encoder."
    patches = conv(state, f"{encoder}conv1.", images, stride).flatten(2).transpose(1, 2)
    token = state[f"{encoder}class_embedding"].expand(len(images), -1)
    if rows is not None:
        token = token + coe * state["cv_embed"][rows]
    x = torch.cat([token[:, None], patches], dim=1) + state[f"{encoder}positional_embedding"]
    x = layer_norm(state, f"{encoder}ln_pre.", x, EPS)
    before_last = x
    for i in range(count(state, encoder + "transformer.resblocks.{}.ln_1.weight")):
        before_last = x
        x = resblock(state, f"{encoder}transformer.resblocks.{i}.", x, heads or x.shape[-1] // 64)
    last = layer_norm(state, f"{encoder}ln_post.", x, EPS)[:, 0]
    return before_last[:, 0], last, last @ state[f"{encoder}proj"]


def bottleneck(state, prefix, x, stride):
    """A block whose stride is an average pooling, in the shortcut too."""
    y = batch_norm(state, f"{prefix}bn1.", conv(state, f"{prefix}conv1.", x)).relu()
    y = batch_norm(state, f"{prefix}bn2.", conv(state, f"{prefix}conv2.", y, 1, 1)).relu()
    if stride > 1:
        y = F.avg_pool2d(y, stride)
    y = batch_norm(state, f"{prefix}bn3.", conv(state, f"{prefix}conv3.", y))
    if f"{prefix}downsample.0.weight" in state:
        x = F.avg_pool2d(x, stride) if stride > 1 else x
        x = batch_norm(state, f"{prefix}downsample.1.", conv(state, f"{prefix}downsample.0.", x))
    return (y + x).relu()


def attention_pool(state, prefix, x, heads):
    """Token 0 of the attention among the map's mean and its places, each with its position."""
    places = x.flatten(2).transpose(1, 2)
    tokens = torch.cat([places.mean(1, keepdim=True), places], dim=1) + state[f"{prefix}positional_embedding"]
    q, k, v = (linear(state, f"{prefix}{name}_proj.", tokens) for name in "qkv")
    return linear(state, f"{prefix}c_proj.", attention(q, k, v, heads)[:, 0])


def stem_map(state, prefix, images):
    """Three 3x3 convolutions, the first of stride 2, and an average pooling of 2."""
    x = images
    for i, stride in enumerate((2, 1, 1), start=1):
        x = batch_norm(state, f"{prefix}bn{i}.", conv(state, f"{prefix}conv{i}.", x, stride, 1)).relu()
    return F.avg_pool2d(x, 2)


def clip_rn50_branches(state, images, *, heads=32):
    """Averages of layer3's and layer4's maps (B, 16 and 32 * width), and the attention pooled (B, embed)."""
    encoder, maps = "image_encoder.", []
    x = stem_map(state, encoder, images)
    for stage, first_stride in enumerate((1, 2, 2, 1), start=1):
        for i in range(count(state, f"{encoder}layer{stage}.{{}}.conv1.weight")):
            x = bottleneck(state, f"{encoder}layer{stage}.{i}.", x, first_stride if i == 0 else 1)
        maps.append(x)
    return maps[2].mean((2, 3)), x.mean((2, 3)), attention_pool(state, f"{encoder}attnpool.", x, heads)


def retrieval_feature(state, branches, neck_feat):
    _, feature, projected = branches
    if neck_feat == "after":
        feature = batch_norm(state, "bottleneck.", feature)
        projected = batch_norm(state, "bottleneck_proj.", projected)
    return torch.cat([feature, projected], dim=1)


def clip_vit_feature(state, images, *, heads=None, stride=16, rows=None, coe=1.0, neck_feat="before"):
    """heads is width / 64 unless given; rows and coe as in `clip_vit_branches`."""
    branches = clip_vit_branches(state, images, heads=heads, stride=stride, rows=rows, coe=coe)
    return retrieval_feature(state, branches, neck_feat)


def clip_rn50_feature(state, images, *, heads=32, neck_feat="before"):
    """heads of the attention pooling; cv_embed is not used."""
    return retrieval_feature(state, clip_rn50_branches(state, images, heads=heads), neck_feat)

"""The ResNets of torchreid, fast-reid, TransReID and TransReID-SSL: random state dicts, and oracles.

An oracle maps (B, 3, H, W) images to the (B, dim) retrieval feature as the peer does in evaluation.
"""

import torch
import torch.nn.functional as F
from peer_parts import Draw, any_norm, batch_norm, conv, count, linear, power_mean

NON_LOCAL = (0, 2, 3, 0)  # how many of each stage's last blocks fast-reid's ResNet-50 follows with one
RESIDUAL_GAIN = 0.3  # of the last convolution of a branch, so that sums of many branches stay of size 1


def block_state(draw, prefix, in_dim, dim, out_dim, ibn):
    state = draw.conv(f"{prefix}conv1.", dim, in_dim, 1)
    state |= draw.ibn(f"{prefix}bn1.", dim) if ibn else draw.batch_norm(f"{prefix}bn1.", dim)
    state |= draw.conv(f"{prefix}conv2.", dim, dim, 3) | draw.batch_norm(f"{prefix}bn2.", dim)
    state |= draw.conv(f"{prefix}conv3.", out_dim, dim, 1, gain=RESIDUAL_GAIN)
    state |= draw.batch_norm(f"{prefix}bn3.", out_dim)
    if in_dim != out_dim:
        state |= draw.conv(f"{prefix}downsample.0.", out_dim, in_dim, 1)
        state |= draw.batch_norm(f"{prefix}downsample.1.", out_dim)
    return state


def non_local_state(draw, prefix, dim, inter):
    state = {}
    for name in ("g", "theta", "phi"):
        state |= draw.conv(f"{prefix}{name}.", inter, dim, 1, bias=True, gain=0.15)
    state |= draw.conv(f"{prefix}W.0.", dim, inter, 1, bias=True, gain=RESIDUAL_GAIN)
    return state | draw.batch_norm(f"{prefix}W.1.", dim)


def stages_state(draw, prefix, blocks, width, ibn=False):
    """layer1..4; the first stage reads `width` channels and gives 4 * width."""
    state, in_dim = {}, width
    for stage, number in enumerate(blocks, start=1):
        dim = width * 2 ** (stage - 1)
        for i in range(number):
            state |= block_state(draw, f"{prefix}layer{stage}.{i}.", in_dim, dim, 4 * dim, ibn and stage < 4)
            in_dim = 4 * dim
    return state


def resnet_state(*, prefix="", blocks=(3, 4, 6, 3), width=64, ibn=False, non_local=False, inter=1, seed=0):
    """A torchvision-named ResNet of Bottleneck blocks without a head; its map has 32 * width channels.

    non_local is False, True for fast-reid's places, or four counts: the last blocks of each stage to follow.
    """
    draw = Draw(seed)
    state = draw.conv(f"{prefix}conv1.", width, 3, 7) | draw.batch_norm(f"{prefix}bn1.", width)
    state |= stages_state(draw, prefix, blocks, width, ibn)
    places = (NON_LOCAL if non_local is True else non_local) or ()
    for stage, number in enumerate(places, start=1):
        for n in range(number):
            state |= non_local_state(draw, f"{prefix}NL_{stage}.{n}.", width * 2 ** (stage + 1), inter)
    return state


def torchreid_resnet_state(*, classes, fc=0, blocks=(3, 4, 6, 3), width=64, seed=0):
    """A file of torchreid: resnet50, or resnet50_fc512 with fc=512."""
    draw = Draw(seed + 1)
    state = resnet_state(blocks=blocks, width=width, seed=seed)
    if fc:
        state |= draw.linear("fc.0.", fc, 32 * width) | draw.batch_norm("fc.1.", fc)
    return state | draw.linear("classifier.", classes, fc or 32 * width)


def fastreid_resnet_state(*, classes, generation=3, gem=False, reduction=0, width=64, seed=0, **body):
    """A file of fast-reid; body: blocks, ibn, non_local, inter of `resnet_state`.

    generation 1 has heads.bnneck and heads.classifier, 2 heads.bottleneck and heads.classifier, 3 (since
    2021) heads.bottleneck and heads.weight. gem adds the learned power; reduction, which generation 1 lacks,
    the 1x1 convolution before the neck.
    """
    draw, dim = Draw(seed + 1), reduction or 32 * width
    state = resnet_state(prefix="backbone.", width=width, seed=seed, **body)
    if gem:
        state["heads.pool_layer.p"] = draw.uniform(1, low=2.5, high=3.5)
    if reduction:
        state |= draw.conv("heads.bottleneck.0.", reduction, 32 * width, 1)
        state |= draw.batch_norm("heads.bottleneck.1.", reduction)
    else:
        state |= draw.batch_norm("heads.bnneck." if generation == 1 else "heads.bottleneck.0.", dim)
    state |= draw.linear("heads." if generation == 3 else "heads.classifier.", classes, dim, bias=False)
    if generation < 3:
        state["pixel_mean"] = torch.tensor([123.675, 116.28, 103.53]).reshape(1, 3, 1, 1)
        state["pixel_std"] = torch.tensor([58.395, 57.12, 57.375]).reshape(1, 3, 1, 1)
    return state


def transreid_resnet_state(*, classes, ssl=False, blocks=(3, 4, 6, 3), width=64, seed=0):
    """A file of TransReID's ResNet-50, or with ssl of TransReID-SSL's IBN-a and its unused ImageNet head."""
    draw, dim = Draw(seed + 1), 32 * width
    state = resnet_state(prefix="base.", blocks=blocks, width=width, ibn=ssl, seed=seed)
    if ssl:
        state |= draw.linear("base.fc.", 1000, dim)
    return state | draw.linear("classifier.", classes, dim, bias=False) | draw.batch_norm("bottleneck.", dim)


def non_local(state, prefix, x):
    """z = BN(W y) + x with y = f g and f = theta^T phi / N over the N places of the map."""
    batch, _, height, width = x.shape
    g, theta, phi = (conv(state, f"{prefix}{name}.", x).flatten(2) for name in ("g", "theta", "phi"))
    f = theta.transpose(1, 2) @ phi / (height * width)  # (B, N, N)
    y = (f @ g.transpose(1, 2)).transpose(1, 2).reshape(batch, -1, height, width)
    return batch_norm(state, f"{prefix}W.1.", conv(state, f"{prefix}W.0.", y)) + x


def block(state, prefix, x, stride):
    y = any_norm(state, f"{prefix}bn1.", conv(state, f"{prefix}conv1.", x)).relu()
    y = batch_norm(state, f"{prefix}bn2.", conv(state, f"{prefix}conv2.", y, stride, 1)).relu()
    y = batch_norm(state, f"{prefix}bn3.", conv(state, f"{prefix}conv3.", y))
    if f"{prefix}downsample.0.weight" in state:
        x = batch_norm(state, f"{prefix}downsample.1.", conv(state, f"{prefix}downsample.0.", x, stride))
    return (y + x).relu()


def stem_map(state, prefix, images, stem):
    """The map before layer1; stem: "torchvision", "transreid" (no ReLU, pool 2) or "fastreid" (ceil mode)."""
    x = batch_norm(state, f"{prefix}bn1.", conv(state, f"{prefix}conv1.", images, 2, 3))
    if stem == "transreid":
        return F.max_pool2d(x, 2, 2)
    if stem == "fastreid":
        return F.max_pool2d(x.relu(), 3, 2, 0, ceil_mode=True)
    return F.max_pool2d(x.relu(), 3, 2, 1)


def resnet_map(state, images, *, prefix="", stem="torchvision", last_stride=1):
    """The last map (B, C, h, w), non-local blocks included where the state holds them."""
    x = stem_map(state, prefix, images, stem)
    for stage, stride in enumerate((1, 2, 2, last_stride), start=1):
        number = count(state, f"{prefix}layer{stage}.{{}}.conv1.weight")
        first = number - count(state, f"{prefix}NL_{stage}.{{}}.g.weight")
        for i in range(number):
            x = block(state, f"{prefix}layer{stage}.{i}.", x, stride if i == 0 else 1)
            if i >= first:
                x = non_local(state, f"{prefix}NL_{stage}.{i - first}.", x)
    return x


def torchreid_resnet_feature(state, images, *, last_stride=None):
    """The average of the map, through fc (Linear, BatchNorm, ReLU) where there is one; there is no neck.

    last_stride is 2, with fc 1, unless given.
    """
    has_fc = "fc.0.weight" in state
    x = resnet_map(state, images, last_stride=last_stride or (1 if has_fc else 2)).mean((2, 3))
    return batch_norm(state, "fc.1.", linear(state, "fc.0.", x)).relu() if has_fc else x


def fastreid_resnet_feature(state, images, *, power=None, last_stride=1, neck_feat="after"):
    """The pooled map through the heads' reduction (if any) and, as the peer evaluates, their BatchNorm.

    power: of a power mean that has no key (AGW's is fixed at 3); a learned one is read from the state, and
    without either the map is averaged. neck_feat "before" is what the BatchNorm reads.
    """
    first_generation = "heads.bnneck.weight" in state
    stem = "torchvision" if first_generation else "fastreid"
    x = resnet_map(state, images, prefix="backbone.", stem=stem, last_stride=last_stride)
    power = state.get("heads.pool_layer.p", power)
    x = x.mean((2, 3)) if power is None else power_mean(x, power, (2, 3))
    neck = "heads.bnneck." if first_generation else "heads.bottleneck.0."
    if "heads.bottleneck.1.weight" in state:
        x = conv(state, "heads.bottleneck.0.", x[:, :, None, None]).flatten(1)
        neck = "heads.bottleneck.1."
    return batch_norm(state, neck, x) if neck_feat == "after" else x


def transreid_resnet_feature(state, images, *, stem="transreid", last_stride=1, neck_feat="before"):
    """The average of the map, before or after the bottleneck; TransReID-SSL's stem is "torchvision"."""
    x = resnet_map(state, images, prefix="base.", stem=stem, last_stride=last_stride).mean((2, 3))
    return batch_norm(state, "bottleneck.", x) if neck_feat == "after" else x

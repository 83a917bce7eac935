"""A foreign state dict in the words of this toolkit: new names, and tensors in the shape we keep them."""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from reid.models.backbones.resnet import NON_LOCAL
from reid.models.formats.detect import FileFormat
from reid.models.formats.families import BACKBONE, NECK
from reid.models.formats.keys import printable
from reid.models.weights import refuse_values
from reid.utils import InputError

SIDE = "backbone.side.embed"
REDUCTION = "reduction.weight"
COUNTER = ".num_batches_tracked"
# timm's early ViT-S scaled attention by 768^-0.5; heads of 96 channels are scaled by 96^-0.5 here.
LEGACY_SCALE = (96 / 768) ** 0.5

# Beginnings of keys, the first rule that fits counts; then the network's own rules.
COMMON = (
    (r"b1\.", "backbone.global_branch."),
    (r"b2\.", "backbone.local_branch."),
    (r"bottleneck_(\d{1,3})\.", lambda m: f"part_necks.{int(m[1]) - 1}."),
    (r"classifier_(\d{1,3})\.", lambda m: f"part_classifiers.{int(m[1]) - 1}."),
    (r"bottleneck_proj\.", "part_necks.0."),
    (r"classifier_proj\.", "part_classifiers.0."),
    (r"fcneck\.weight$", REDUCTION),
    (r"(base|backbone)\.sie_embed$|cv_embed$", SIDE),
    (r"heads\.pool_layer\.p$", "backbone.global_pool.p"),
)
CLIP_VIT = (
    (r"class_embedding$", "cls_token"),
    (r"positional_embedding$", "pos_embed"),
    (r"proj$", "projection.weight"),
    (r"conv1\.weight$", "patch_embed.proj.weight"),
    (r"ln_pre\.", "norm_pre."),
    (r"ln_post\.", "norm."),
    (r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$", r"blocks.\1.attn.qkv.\2"),
    (r"transformer\.resblocks\.(\d+)\.attn\.out_proj\.", r"blocks.\1.attn.proj."),
    (r"transformer\.resblocks\.(\d+)\.ln_([12])\.", r"blocks.\1.norm\2."),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", r"blocks.\1.mlp.fc1."),
    (r"transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", r"blocks.\1.mlp.fc2."),
)
CLIP_RESNET = (
    (r"conv1\.", "conv1.0."),
    (r"bn1\.", "conv1.1."),
    (r"conv2\.", "conv1.3."),
    (r"bn2\.", "conv1.4."),
    (r"conv3\.", "conv1.6."),
    (r"bn3\.", "bn1."),
    # Ours counts the average in front of the convolution.
    (r"(layer\d\.\d+\.downsample)\.1\.", r"\1.2."),
    (r"(layer\d\.\d+\.downsample)\.0\.", r"\1.1."),
    (r"attnpool\.positional_embedding$", "attnpool.pos_embed"),
    (r"attnpool\.c_proj\.", "attnpool.proj."),
)
NETWORKS = {"clip_vit": CLIP_VIT, "clip_resnet": CLIP_RESNET}
UNREAD = {"jpm": r"base\.(blocks\.{last}|norm)\..+", "clip_resnet": r"cv_embed"}
# The authors of Swin transformers count a reduction to the stage before it, timm to the one behind.
EARLY_REDUCTION = "layers.0.downsample.reduction.weight"


@dataclass
class Translation:
    """A foreign file in our words.

    Args:
        state: Tensors by our key.
        origin: The file's keys by ours: one, or those that are joined.
        dropped: Keys of the file that are known and of no use.
        unexpected: Keys of the file that nobody knows.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    origin: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """How many keys there were, and one of them."""
        keys = [*(old for keys in self.origin.values() for old in keys), *self.dropped, *self.unexpected]
        return f"{len(keys)} keys, such as {printable(keys[0])}"


def translate(tensors: dict[str, Tensor], form: FileFormat, path: Path) -> Translation:
    """Rename every key of a file and reshape what we keep in another shape.

    Half precision becomes single, so that nothing is rounded twice.

    Args:
        tensors: As ``read_weights`` gives them.
        form: What ``detect`` said of them.
        path: Where they are from, for the error.

    Raises:
        InputError: If two keys mean the same here, so that a layer lies between them which we do not have,
            or a weight holds no dense floating-point numbers.
    """
    result = Translation()
    unread = _unread(form)
    is_early = EARLY_REDUCTION in tensors
    for key, tensor in tensors.items():
        if form.family.is_leftover(key) or any(re.fullmatch(pattern, key) for pattern in unread):
            result.dropped.append(key)
            continue
        new = our_key(key, form)
        if new is None:
            result.unexpected.append(key)
            continue
        if is_early:
            new = re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) + 1}.downsample", new)
        if new in result.state:
            first = result.origin[new][0]
            raise InputError(f"{path} has both {first} and {key}: this network cannot be built here")
        is_half = tensor.is_floating_point() and tensor.element_size() < 4
        result.state[new], result.origin[new] = tensor.float() if is_half else tensor, (key,)
    # Before joining and scaling, which would turn whole numbers into others unseen.
    odd = {key: value for key, value in result.state.items() if _is_weight(key) and not _is_dense(value)}
    refuse_values(path, odd, dict.fromkeys(odd, torch.empty(0)))
    _join_attention_pool(result)
    for key in list(result.state):
        result.state[key] = _reshape(key, result.state[key], form)
    return result


def _is_weight(key: str) -> bool:
    return key.startswith((BACKBONE, REDUCTION)) and not key.endswith(COUNTER)


def _is_dense(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout is torch.strided and not tensor.is_meta


def our_key(key: str, form: FileFormat) -> str | None:
    """This toolkit's name for a key of the file; None where it has none."""
    for pattern, new in COMMON:
        if re.match(pattern, key):
            return re.sub(f"^(?:{pattern})", new, key)
    if "reduced" in form.parts and key.startswith("heads.bottleneck."):
        # fast-reid's convolution comes first, and its norm second.
        return REDUCTION if key == "heads.bottleneck.0.weight" else key.replace("heads.bottleneck.1.", NECK)
    found = form.family.new_key(key)
    if found is None or not found.startswith(BACKBONE):
        return found
    own = found.removeprefix(BACKBONE)
    for pattern, new in NETWORKS.get(form.network, ()):
        if re.match(pattern, own):
            own = re.sub(f"^(?:{pattern})", new, own)
            break
    if form.network == "resnet" and "non_local" in form.parts:
        own = _non_local_key(own, form)
    return BACKBONE + own


def _unread(form: FileFormat) -> list[str]:
    """Patterns of keys that the file's own code keeps and never reads."""
    found = []
    if "jpm" in form.parts:
        found.append(UNREAD["jpm"].format(last=form.depth[0] - 1))
    if form.network == "clip_resnet":
        found.append(UNREAD["clip_resnet"])
    return found


def _non_local_key(own: str, form: FileFormat) -> str:
    """A block that a non-local block follows is the first of two modules in its place."""
    counts = NON_LOCAL["resnet50" if form.depth[2] == 6 else "resnet101"]
    match = re.match(r"NL_([1-4])\.(\d+)\.", own)
    if match:
        stage, place = int(match[1]), int(match[2])
        first = form.depth[stage - 1] - counts[stage - 1]
        return f"layer{stage}.{first + place}.1.{own[match.end() :]}"
    match = re.match(r"layer([1-4])\.(\d+)\.", own)
    if match:
        stage, place = int(match[1]), int(match[2])
        if place >= form.depth[stage - 1] - counts[stage - 1]:
            return f"layer{stage}.{place}.0.{own[match.end() :]}"
    return own


def _join_attention_pool(file: Translation) -> None:
    """Query, key and value of CLIP's attention pooling as one matrix, in this order."""
    for kind in ("weight", "bias"):
        keys = [f"backbone.attnpool.{letter}_proj.{kind}" for letter in "qkv"]
        parts = [file.state[key] for key in keys if key in file.state]
        if len(parts) == 3 and len({part.shape for part in parts}) == 1 and parts[0].ndim:
            joined = f"backbone.attnpool.qkv.{kind}"
            file.state[joined] = torch.cat(parts)
            file.origin[joined] = tuple(old for key in keys for old in file.origin.pop(key))
            for key in keys:
                del file.state[key]


def _reshape(key: str, tensor: Tensor, form: FileFormat) -> Tensor:
    if key == SIDE and tensor.ndim == 3:
        return tensor.squeeze(1)  # (rows, 1, D) -> (rows, D)
    if key == "backbone.patch_embed.proj.weight" and tensor.ndim == 2:
        # A linear map over the pixels of a patch, of timm's first models; what is no square is left to fail.
        side = math.isqrt(tensor.shape[1] // 3)
        return tensor.unflatten(1, (3, side, side)) if 3 * side**2 == tensor.shape[1] else tensor
    if key == REDUCTION and tensor.shape[2:] == (1, 1):
        return tensor.flatten(1)  # a 1x1 convolution (F, C, 1, 1) -> (F, C)
    if form.network == "clip_vit":
        if key == "backbone.cls_token" and tensor.ndim == 1:
            return tensor[None, None]  # (D,) -> (1, 1, D)
        if key == "backbone.pos_embed" and tensor.ndim == 2:
            return tensor[None]  # (1 + N, D) -> (1, 1 + N, D)
        if key == "backbone.projection.weight" and tensor.ndim == 2:
            return tensor.T  # (D, F), which multiplies from the right -> (F, D)
    is_legacy = "no_qkv_bias" in form.parts and form.depth == (8,) and form.family.name != "ours"
    if is_legacy and key.endswith("attn.qkv.weight") and tensor.ndim == 2:
        query, rest = tensor[: form.width], tensor[form.width :]
        # (s q) k = s (q k): the scale of attention lies in the queries' rows.
        return torch.cat([query * LEGACY_SCALE, rest])
    return tensor

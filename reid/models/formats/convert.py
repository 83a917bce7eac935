"""A foreign state dict to a model of this toolkit, accounting for every key."""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from reid.models.backbone import patch_grid
from reid.models.formats.detect import FileFormat
from reid.models.formats.report import ImportReport
from reid.models.header import Header
from reid.models.osnet import OSNETS
from reid.models.position import resize_position_embedding
from reid.models.preprocessing import Preprocessing
from reid.models.reid_model import ModelSpec, ReIDModel
from reid.models.weights import load_strictly
from reid.utils import InputError

POSITIONS = "backbone.pos_embed"
# What cannot be built, by the parts of a format, in the words of a refusal.
NOT_BUILT = {
    "jpm": "jigsaw branches (b1, b2)",
    "sie": "embeddings of cameras or views (sie_embed, cv_embed)",
    "ics": "a stem of convolutions (patch_embed.conv)",
    "gem": "learned pooling (heads.pool_layer.p)",
    "ibn": "instance normalisation (IN)",
    "non_local": "non-local blocks (NL_2, NL_3)",
    "reduced": "a linear layer behind the pooling (fcneck, fc.0 or heads.bottleneck.1)",
    "bare_stem": "a ResNet without ReLU in its stem",
    "no_qkv_bias": "attention without bias, timm's early ViT-S of width 768",
}
OURS = (
    "a state dict of this toolkit without its header does not say how its images were prepared; start from it"
    " with MODEL.PRETRAIN_PATH"
)
TRANSFORMERS: dict[tuple[int, tuple[int, ...]], str] = {(768, (12,)): "vit_base", (384, (12,)): "vit_small"}


class Imported(NamedTuple):
    """A foreign file as a checkpoint of this toolkit.

    Args:
        model: In eval mode.
        header: With the preprocessing of the family's own code.
        report: What became of every key.
    """

    model: ReIDModel
    header: Header
    report: ImportReport


def backbone_name(form: FileFormat, shapes: dict[str, tuple[int, ...]]) -> str:
    """Which of this toolkit's backbones computes what the file's network computes.

    Raises:
        InputError: If none does, naming the part that is not built here.
    """
    if form.family.name == "ours":
        raise InputError(OURS)
    parts = sorted(form.parts & set(NOT_BUILT))
    if parts:
        raise InputError(f"{form.family.title}: {NOT_BUILT[parts[0]]} cannot be built here yet")
    name = None
    if form.network == "vit" and (form.grid is None or form.grid.stride == 16):
        name = TRANSFORMERS.get((form.width, form.depth))
    elif form.network == "resnet" and (form.width, form.depth) == (2048, (3, 4, 6, 3)):
        # fast-reid's first generation still had torchvision's pooling.
        name = "resnet50_fastreid" if form.generation > 1 else "resnet50"
    elif form.network == "osnet":
        name = _osnet_name(form.width, shapes)
    if name is None or not form.family.renames:
        raise InputError(f"{form.describe()}: this network cannot be built here yet")
    return name


def _osnet_name(width: int, shapes: dict[str, tuple[int, ...]]) -> str | None:
    variant = "plain"
    if "conv2.0.conv2.0.layers.0.conv1.weight" in shapes:
        variant = "ain"
    elif "conv2.0.IN.weight" in shapes:
        variant = "ibn"
    return next((k for k, (channels, v) in OSNETS.items() if (channels[3], v) == (width, variant)), None)


def convert(
    tensors: dict[str, Tensor], form: FileFormat, path: Path, image_size: tuple[int, int] | None = None
) -> Imported:
    """Build this toolkit's model for a foreign state dict and fill it.

    Args:
        tensors: As :func:`read_weights` gives them.
        form: What :func:`detect` said of them.
        path: Where they are from, for the errors.
        image_size: Height and width of the images; the file's own if None.

    Raises:
        InputError: If the network cannot be built, its image size is unknown, the file lacks a key of the
            backbone or has one that this backbone has no place for, or a shape differs.
    """
    name = backbone_name(form, {key: tuple(value.shape) for key, value in tensors.items()})
    size = image_size or form.image_size
    if size is None:
        raise InputError(
            f"{path} has {form.num_patches} position embeddings, of no known image size; give it with --size"
        )
    assert form.images is not None  # only our own files leave it open, and they are refused
    family, preprocessing = form.family, Preprocessing(size, **asdict(form.images))
    spec = ModelSpec(name, size, form.num_classes, last_stride=family.last_stride, neck_feat=family.neck_feat)
    model, report, state = ReIDModel(spec, preprocessing), ImportReport(), {}
    wanted = model.state_dict()
    for key, tensor in tensors.items():
        new = family.new_key(key)
        if family.is_leftover(key):
            report.dropped.append(key)
        elif new is None or new not in wanted:
            report.unexpected.append(key)
        elif new == POSITIONS and not _is_same_grid(tensor, form, model):
            state[new] = _resize(tensor, form, model, path)
            report.interpolated.append(new)
        else:
            state[new] = tensor
            report.matched.append(new)
    report.missing = [key for key in wanted if key not in state]
    _check(report, form, name, path)
    load_strictly(model, state | {key: wanted[key] for key in report.missing}, path)
    # What DenoiseRep's authors wrote is fused already: never to be fused again.
    header = Header(spec, preprocessing, state="fused" if family.name == "denoiserep" else "none")
    return Imported(model.eval(), header, report)


def _is_same_grid(tensor: Tensor, form: FileFormat, model: ReIDModel) -> bool:
    """Whether positions fit as they are; 256x128 and 128x256 have as many patches, but others."""
    wanted = model.get_parameter(POSITIONS).shape
    return tensor.shape == wanted and (form.grid is None or form.grid[2:] == patch_grid(model.backbone))


def _resize(tensor: Tensor, form: FileFormat, model: ReIDModel, path: Path) -> Tensor:
    if "distilled" in form.parts:  # the second token was DeiT's teacher's
        tensor = tensor[:, [0, *range(2, tensor.shape[1])]]
    grid = patch_grid(model.backbone)
    if grid is None or form.grid is None:
        raise InputError(f"{path} has {form.num_patches} position embeddings, of no known grid")
    return resize_position_embedding(tensor, grid, 1, form.grid.rows // form.grid.columns)


def _check(report: ImportReport, form: FileFormat, name: str, path: Path) -> None:
    # Files from before 2018 do not count BatchNorm's batches; the count has no part in a feature.
    missing = [
        key
        for key in report.missing
        if key.startswith("backbone.") and not key.endswith(".num_batches_tracked")
    ]
    if missing:
        raise InputError(f"{path} lacks {len(missing)} keys of the backbone {name}, such as {missing[0]}")
    foreign = [key for key in report.unexpected if (form.family.new_key(key) or "").startswith("backbone.")]
    if foreign:
        raise InputError(
            f"{path} has {len(foreign)} keys that the backbone {name} has no place for, such as {foreign[0]}"
        )

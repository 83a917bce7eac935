"""What a state dict is, from its names and shapes alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reid.models.formats.families import CONV_STEM, FAMILIES, RESNET, SWIN, Family
from reid.models.formats.grid import GRIDS, PatchGrid
from reid.models.formats.images import ImageRule, image_rule
from reid.models.formats.keys import Shapes, axis, count_numbered, has_match, has_prefix, printable
from reid.utils import InputError

# Cameras and views of the data sets that carry side information, by their number of training identities.
# VeRi-776 has 576 identities, 575 of them with labelled views.
CAMERAS_AND_VIEWS = {751: (6, 0), 702: (8, 0), 1041: (15, 0), 576: (20, 8), 575: (20, 8)}
# VehicleID and VeRi-776, whose images are square.
VEHICLE_SETS = {13164, 576, 575}
CLASSIFIERS = ("classifier.weight", "heads.weight", "heads.classifier.weight")
PARTS = {
    "jpm": r"^b[12]\.0\.",
    "sie": r"^(base|backbone)\.sie_embed$|^cv_embed$",
    "ics": r"(^|\.)patch_embed\.conv\.0\.weight$",
    "gem": r"^heads\.pool_layer\.p$",
    "ibn": r"(^|\.)layer[1-4]\.\d+\.bn1\.IN\.",
    "non_local": r"(^|\.)NL_\d\.",
    "instance_stem": r"^(\w+\.)?bn1\.IN\.",
    "squeeze": r"(^|\.)layer[1-4]\.\d+\.se\.",
    "reduced": r"^fcneck\.",
    "distilled": r"(^|\.)dist_token$",
}


@dataclass(frozen=True)
class FileFormat:
    """What the names and shapes of a state dict say.

    Args:
        family: Whose naming it is.
        network: ``vit``, ``swin``, ``swinv2``, ``resnet``, ``osnet``; ``clip_vit`` and ``clip_resnet`` have
            CLIP's layers.
        width: Channels of the tokens or of the last map.
        depth: Blocks, one number a stage.
        feature_dim: Length of the feature that the family's evaluation ranks.
        num_classes: Training identities; 0 where the file has no classifier of identities.
        grid: Of a vision transformer's patches; None for other networks and unknown sizes.
        num_patches: Position embeddings of patches; 0 for networks without.
        side_rows: Rows of the side information: cameras, views, or their product; 0 without.
        cameras: How many cameras the side information tells apart; 0 if none, None if it cannot be told.
        views: Likewise for views.
        parts: What the network has beyond its family's plain one: names of ``PARTS``; ``fc`` where a linear
            layer, BatchNorm and ReLU follow the pooling; ``no_qkv_bias`` and ``bare_stem`` by what is absent.
        variant: Of an OSNet: ``plain``, ``ibn`` or ``ain``.
        neck_feat: Whether its own evaluation ranks features before or after the neck.
        generation: Of fast-reid's heads: 1 until August 2020, 2 until March 2021, 3 since; 0 for others.
        images: How the family prepares images; None where its files do not settle it.
        windows: Sides of a Swin transformer's windows, smallest first; empty where the file does not tell.
    """

    family: Family
    network: str
    width: int
    depth: tuple[int, ...]
    feature_dim: int
    num_classes: int
    grid: PatchGrid | None
    num_patches: int
    side_rows: int
    cameras: int | None
    views: int | None
    parts: frozenset[str]
    variant: str
    neck_feat: Literal["before", "after"]
    generation: int
    images: ImageRule | None
    windows: tuple[int, ...] = ()

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width that the file was trained at, or that its family uses; None if unknown."""
        if self.num_patches:
            return self.grid.image_size if self.grid else None
        if self.family.name == "imagenet":
            return (256, 256) if self.network == "swinv2" else (224, 224)
        return (256, 256) if self.num_classes in VEHICLE_SETS else (256, 128)

    def describe(self) -> str:
        """One line for people."""
        size = "unknown size" if self.image_size is None else "{}x{}".format(*self.image_size)
        stride = f" in patches of stride {self.grid.stride}" if self.grid else ""
        parts = f", with {', '.join(sorted(self.parts))}" if self.parts else ""
        blocks = "-".join(map(str, self.depth))
        return (
            f"{self.family.title}: {self.network} of {blocks} blocks and width {self.width}{parts}; images of"
            f" {size}{stride}; feature of {self.feature_dim}; {self.num_classes or 'no'} identities"
        )


def detect(shapes: Shapes, family: str | None = None, *, guess: bool = False) -> FileFormat:
    """Tell the format of a state dict by its keys, and read the network off the shapes.

    Args:
        shapes: Shape of every tensor by its name, without ``module.``.
        family: Which family is meant, where the keys fit several.
        guess: Where which family it is makes no difference, take ours if it fits, or else the first that
            does.

    Raises:
        InputError: If no family fits, or more than one and none is to be guessed, or the keys are not of
            ``family``, or the network cannot be read off the shapes.
    """
    found = _find_family(shapes, family, guess)
    prefix = found.prefix if has_prefix(shapes, found.prefix) else ""
    try:
        return _read_network(found, prefix, shapes)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"the keys are of the family {found.name}, but no network can be read off them: {_fault(error)}"
            f" ({len(shapes)} keys, such as {printable(next(iter(shapes)))})"
        ) from error


def _fault(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)


def _find_family(shapes: Shapes, family: str | None, guess: bool) -> Family:
    fitting = [candidate for candidate in FAMILIES if candidate.fits(shapes)]
    known = ", ".join(candidate.name for candidate in FAMILIES)
    named = [candidate for candidate in fitting if family in (None, candidate.name)]
    if family is not None and not named:
        seen = " or ".join(candidate.name for candidate in fitting) or "of no known family"
        raise InputError(f"the keys must be of the family {family} (of {known}), but they are {seen}")
    if not named:
        keys = ", ".join(map(printable, list(shapes)[:3]))
        raise InputError(f"the keys fit no known family: {keys} of {len(shapes)}; known are {known}")
    if len(named) > 1 and not guess:
        names = " and ".join(candidate.name for candidate in named)
        raise InputError(
            f"the keys fit more than one family, {names}; say which is meant with --family of"
            " tools/import_weights.py"
        )
    # A backbone of ours alone has the keys of two others, which would be scaled and resized as theirs are.
    return next((candidate for candidate in named if candidate.name == "ours"), named[0])


def _read_network(family: Family, prefix: str, shapes: Shapes) -> FileFormat:
    own = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    parts = {name for name, pattern in PARTS.items() if has_match(shapes, pattern)}
    network, width, depth, num_patches = _measure(own)
    if network == "vit" and "blocks.0.attn.qkv.bias" not in own:
        parts.add("no_qkv_bias")
    if network == "resnet" and "fc.0.weight" in own:
        parts.add("fc")
    if len(shapes.get("heads.bottleneck.0.weight", ())) == 4:
        parts.add("reduced")
    if network == "resnet" and family.prefix == "base." and "ibn" not in parts:
        parts.add("bare_stem")  # no ReLU behind its normalisation, and a pooling of its own
    rows = next((axis(shapes, key, 0) for key in shapes if key.endswith(("sie_embed", "cv_embed"))), 0)
    classes = 0 if family.name == "imagenet" else _num_classes(shapes)
    cameras, views = _cameras_and_views(rows, classes)
    prefix_tokens = 2 if "distilled" in parts else 1
    if network in ("vit", "clip_vit", "clip_resnet") and num_patches <= prefix_tokens:
        raise ValueError(f"{num_patches} position embeddings leave none for patches")
    patches = num_patches - prefix_tokens if num_patches else 0
    ours = family.name == "ours"
    return FileFormat(
        family=family,
        network=network,
        width=width,
        depth=depth,
        feature_dim=_feature_dim(shapes, own, parts, width),
        num_classes=classes,
        grid=_grid(patches, network, own),
        num_patches=patches,
        side_rows=rows,
        cameras=cameras,
        views=views,
        parts=frozenset(parts),
        variant=_osnet_variant(own) if network == "osnet" else "",
        neck_feat=_neck_feat(family, shapes),
        generation=_fastreid_generation(shapes),
        images=None if ours else image_rule(family.name, network, "distilled" in parts),
        windows=_windows(own) if network in ("swin", "swinv2") else (),
    )


def _measure(own: Shapes) -> tuple[str, int, tuple[int, ...], int]:
    """Network, width, blocks of each stage, and tokens that have a position."""
    if "class_embedding" in own:
        tokens, width = axis(own, "positional_embedding", 0), axis(own, "positional_embedding", 1)
        return "clip_vit", width, (count_numbered(own, "transformer.resblocks."),), tokens
    if "cls_token" in own:
        depth, tokens = count_numbered(own, "blocks."), axis(own, "pos_embed", -2)
        return "vit", axis(own, "cls_token", -1), (depth,), tokens
    if SWIN in own:
        stages = tuple(count_numbered(own, f"layers.{i}.blocks.") for i in range(4))
        network = "swinv2" if "layers.0.blocks.0.attn.logit_scale" in own else "swin"
        return network, axis(own, "norm.weight", 0), stages, 0
    if has_prefix(own, "conv5."):
        stages = tuple(count_numbered(own, f"conv{i}.", "gate.") for i in (2, 3, 4))
        return "osnet", axis(own, "conv5.conv.weight", 0), stages, 0
    stages = tuple(count_numbered(own, f"layer{i}.") for i in (1, 2, 3, 4))
    if RESNET not in own or 0 in stages:
        raise KeyError(RESNET if RESNET not in own else f"layer{stages.index(0) + 1}.0.conv1.weight")
    last = f"layer4.{stages[-1] - 1}."
    if "attnpool.positional_embedding" in own:
        tokens, width = (axis(own, "attnpool.positional_embedding", i) for i in (0, 1))
        return "clip_resnet", width, stages, tokens
    norm = f"{last}bn3.weight" if f"{last}bn3.weight" in own else f"{last}bn2.weight"
    return "resnet", axis(own, norm, 0), stages, 0


def _windows(own: Shapes) -> tuple[int, ...]:
    """Sides w of windows, by their (2w - 1)^2 biases or (1, 2w - 1, 2w - 1, 2) coordinates."""
    found = set()
    for key, shape in own.items():
        if key.endswith(".relative_position_bias_table") and len(shape) == 2:
            found.add((math.isqrt(shape[0]) + 1) // 2)
        elif key.endswith(".relative_coords_table") and len(shape) == 4:
            found.add((shape[1] + 1) // 2)
        elif key.endswith(".relative_position_index") and len(shape) == 2:
            found.add(math.isqrt(shape[0]))  # of w^2 cells to w^2 others
    return tuple(sorted(found))


def _osnet_variant(own: Shapes) -> str:
    if "conv2.0.conv2.0.layers.0.conv1.weight" in own:
        return "ain"
    return "ibn" if "conv2.0.IN.weight" in own else "plain"


def _neck_feat(family: Family, shapes: Shapes) -> Literal["before", "after"]:
    """fast-reid ranks the feature behind the neck, where there is one."""
    has_neck = has_match(shapes, r"^heads\.(bnneck|bottleneck\.\d)\.running_mean$")
    return family.neck_feat if has_neck or family.neck_feat == "before" else "before"


def _grid(patches: int, network: str, own: Shapes) -> PatchGrid | None:
    grid = GRIDS.get(patches) if _patch_size(own) == 16 else None
    side = math.isqrt(patches)
    if network == "clip_resnet" and grid is None and side**2 == patches > 0:
        # OpenAI's own: a square image in cells of 32 pixels.
        return PatchGrid((32 * side, 32 * side), 32, side, side)
    return grid


def _patch_size(own: Shapes) -> int:
    """Pixels of a patch; a stem of convolutions has halved the image before it is cut."""
    weight = own.get("patch_embed.proj.weight") or own.get("conv1.weight") or (0, 0, 0, 0)
    if CONV_STEM in own:
        return 2 * weight[-1]
    if len(weight) == 2:  # a linear map over the pixels of a patch, of timm's first models
        return math.isqrt(weight[1] // 3)
    # CLIP's ResNet pools positions over a last map that has a sixteenth of the image's sides.
    return 16 if "attnpool.positional_embedding" in own else weight[-1]


def _num_classes(shapes: Shapes) -> int:
    if "classifier.W" in shapes:  # AM-softmax keeps it transposed
        return axis(shapes, "classifier.W", 1)
    return next((axis(shapes, key, 0) for key in CLASSIFIERS if key in shapes), 0)


def _cameras_and_views(rows: int, num_classes: int) -> tuple[int | None, int | None]:
    """Split the rows of the side information by what is known of the data set."""
    if rows == 0:
        return 0, 0
    cameras, views = CAMERAS_AND_VIEWS.get(num_classes, (0, 0))
    known = {cameras: (cameras, 0), views: (0, views), cameras * views: (cameras, views)}
    return known.get(rows, (None, None))


def _feature_dim(shapes: Shapes, own: Shapes, parts: set[str], width: int) -> int:
    if "bottleneck_proj.weight" in shapes:  # CLIP-ReID joins the projected feature
        return width + axis(shapes, "bottleneck_proj.weight", 0)
    if "jpm" in parts:  # the whole and four parts
        return 5 * width
    for source, key in (
        (shapes, "fcneck.weight"),
        (shapes, "heads.bottleneck.0.weight"),
        (own, "fc.0.weight"),
    ):
        if key in source:
            return axis(source, key, 0)
    return width


def _fastreid_generation(shapes: Mapping[str, object]) -> int:
    if has_prefix(shapes, "heads.bnneck."):
        return 1
    if "heads.classifier.weight" in shapes:
        return 2
    return 3 if "heads.weight" in shapes else 0

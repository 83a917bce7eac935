"""Translated tensors into a model, accounting for every key of both."""

import re
from pathlib import Path

from torch import Tensor

from reid.models.backbones import fit_swin, patch_grid
from reid.models.formats.families import BACKBONE
from reid.models.formats.report import ImportReport
from reid.models.formats.translate import Translation
from reid.models.position import PatchLayout, resize_position_embedding
from reid.models.reid_model import ReIDModel
from reid.models.weights import load_strictly, refuse_values
from reid.utils import InputError

POSITIONS = ("backbone.pos_embed", "backbone.attnpool.pos_embed")
# What a pre-training of another kind of network does not have: it may start anew where a training begins.
# Files from before 2018 do not count BatchNorm's batches; the count has no part in a feature.
COUNTERS = r".+\.num_batches_tracked"
# An exponent of pooling that is not learned is 3, which ours starts from.
FIXED = r"backbone\.global_pool\.p"
ADDED = r"backbone\.(side\.embed|global_pool\.p|fc\..+|layer\d\.\d+\.1\..+)"
# Other identities and other cameras: their tables start anew.
TABLES = r"classifier\.weight|part_classifiers\.\d+\.weight|backbone\.side\.embed"
# Layers between the backbone and the feature, whose absence here would change it.
HEADS = r"(heads|bottleneck\w*)\..+"


def fill(
    model: ReIDModel, file: Translation, path: Path, layout: PatchLayout, *, is_start: bool
) -> ImportReport:
    """Load a translated file.

    Args:
        model: Changed in place, and only if all is well.
        file: In this toolkit's words.
        path: Where it is from, for the errors.
        layout: How the file's position embeddings lie on its images.
        is_start: Whether a training begins here: tables of other identities and cameras are dropped, the last
            block is copied to jigsaw branches or taken from them, and what a pre-training does not have
            starts anew. Otherwise the file must be this very model.

    Raises:
        InputError: If the file lacks a key of the backbone, has one that this backbone has no place for, or a
            tensor does not fit.
    """
    report = ImportReport(dropped=list(file.dropped), unexpected=list(file.unexpected))
    wanted, state = model.state_dict(), dict(file.state)
    if is_start:
        state = _match_branches(state, set(wanted))
    before = {key: tensor.shape for key, tensor in state.items()}
    state = fit_swin(model.backbone, state, BACKBONE)
    kept: dict[str, Tensor] = {}
    for key, tensor in state.items():
        if key not in wanted:
            _sort_out(key, file, report)
        elif key in POSITIONS and not _is_same_grid(tensor, key, layout, model):
            refuse_values(path, {key: tensor}, wanted)
            kept[key] = _resize(tensor, layout, model, wanted[key])
            report.interpolated.append(key)
        elif is_start and re.fullmatch(TABLES, key) and tensor.shape != wanted[key].shape:
            report.dropped.append(file.old_key(key))
        else:
            kept[key] = tensor
            changed = before.get(key) != tensor.shape
            (report.interpolated if changed else report.matched).append(key)
    report.missing = [key for key in wanted if key not in kept]
    _check(report, model, path, f"{COUNTERS}|{ADDED if is_start else FIXED}", file)
    load_strictly(model, kept | {key: wanted[key] for key in report.missing}, path)
    return report


def _sort_out(key: str, file: Translation, report: ImportReport) -> None:
    """A key that the model has no place for: dropped where that is no loss, else unexpected."""
    is_known = re.fullmatch(r"part_(necks|classifiers)\..+|classifier\..+|neck\..+|.+\.denoiser\..+", key)
    # Branches that the model was asked to do without; the denoisers of a start; another model's neck.
    is_local = key.startswith("backbone.local_branch.")
    (report.dropped if is_known or is_local else report.unexpected).append(file.old_key(key))


def _match_branches(state: dict[str, Tensor], wanted: set[str]) -> dict[str, Tensor]:
    """Bring the last block, and blocks that a non-local block follows, to where the model has them."""
    has_branches = any(key.startswith("backbone.global_branch.") for key in state)
    wants_branches = any(key.startswith("backbone.global_branch.") for key in wanted)
    numbers = [
        int(match[1]) for match in (re.match(r"backbone\.blocks\.(\d+)\.", key) for key in state) if match
    ]
    last = max(numbers, default=-1)
    matched: dict[str, Tensor] = {}
    for key, tensor in state.items():
        names = [key]
        if wants_branches and not has_branches:
            for old, new in ((f"backbone.blocks.{last}.", "0."), ("backbone.norm.", "1.")):
                if key.startswith(old):
                    # Both branches begin as the block that they replace.
                    rest = new + key.removeprefix(old)
                    names = [f"backbone.global_branch.{rest}", f"backbone.local_branch.{rest}"]
        elif has_branches and not wants_branches:
            names = [
                key.replace("backbone.global_branch.0.", f"backbone.blocks.{last + 1}.").replace(
                    "backbone.global_branch.1.", "backbone.norm."
                )
            ]
        elif key not in wanted:
            names = [re.sub(r"^(backbone\.layer\d\.\d+)\.", r"\1.0.", key)]
            names = names if names[0] in wanted else [key]
        matched |= dict.fromkeys(names, tensor)
    return matched


def _is_same_grid(tensor: Tensor, key: str, layout: PatchLayout, model: ReIDModel) -> bool:
    """Whether positions fit as they are; 256x128 and 128x256 have as many patches, but others."""
    grid = _grid(model)
    return tensor.shape == model.get_parameter(key).shape and layout.grid in (None, grid)


def _resize(tensor: Tensor, layout: PatchLayout, model: ReIDModel, wanted: Tensor) -> Tensor:
    if layout.has_teacher_token:  # the second token was DeiT's teacher's
        tensor = tensor[:, [0, *range(2, tensor.shape[1])]]
    resized = resize_position_embedding(tensor, _grid(model), 1, layout)
    return resized.reshape(-1, resized.shape[-1]) if wanted.ndim == 2 else resized


def _grid(model: ReIDModel) -> tuple[int, int]:
    """Rows and columns of what has a position in the model."""
    grid = patch_grid(model.backbone)
    assert grid is not None  # only where there are patches or cells is there a position
    return grid


def _check(report: ImportReport, model: ReIDModel, path: Path, optional: str, file: Translation) -> None:
    name = model.spec.name
    missing = [
        key
        for key in report.missing
        if key.startswith((BACKBONE, "reduction.")) and not re.fullmatch(optional, key)
    ]
    if missing:
        raise InputError(
            f"{path} is no {name}: {len(missing)} keys of the backbone are missing, such as {missing[0]}"
            f" (the file has {file.describe()})"
        )
    foreign = [key for key in report.unexpected if file.is_backbone(key) or re.fullmatch(HEADS, key)]
    if foreign:
        raise InputError(
            f"{path} has {len(foreign)} keys that {name} has no place for here, such as {foreign[0]}"
        )

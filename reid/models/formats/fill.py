"""Translated tensors into a model, accounting for every key of both."""

import math
import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from reid.models.backbones import fit_swin, patch_grid
from reid.models.formats.families import BACKBONE, FAMILIES
from reid.models.formats.keys import printable
from reid.models.formats.report import ImportReport
from reid.models.formats.translate import REDUCTION, Translation
from reid.models.position import PatchLayout, resize_position_embedding
from reid.models.reid_model import ReIDModel
from reid.models.weights import load_strictly, refuse_values
from reid.utils import InputError

POSITIONS = ("backbone.pos_embed", "backbone.attnpool.pos_embed")
# What a pre-training of another kind of network does not have: it may start anew where a training begins.
# Files from before 2018 do not count BatchNorm's batches; the count has no part in a feature.
COUNTERS = r".+\.num_batches_tracked"
# An exponent of pooling that is not learned is 3, which ours starts from.
EXPONENT, EXPONENTS = "backbone.global_pool.p", (0.1, 20.0)
FIXED = re.escape(EXPONENT)
ADDED = r"reduction\.weight|backbone\.(side\.embed|global_pool\.p|fc\..+|layer\d\.\d+\.1\..+)"
NECKS = r"(neck|part_necks\.\d+)\..+"
# Other identities, other cameras, features of another width: what belongs to them starts anew.
TABLES = rf"classifier\.weight|part_classifiers\.\d+\.weight|backbone\.side\.embed|{NECKS}"
# Layers between the backbone and the feature, and further branches, whose absence here would change it.
HEADS = r"(heads|bottleneck\w*|b\d+(_head)?)\..+"
# What stands before the keys of a network: under another than the file's own lies a second one.
PREFIXES = tuple(family.prefix for family in FAMILIES if family.prefix)
# What a training or an adaptation adds to a model, and another model can do without.
EXTRAS = rf"{NECKS}|part_classifiers\..+|classifier\..+|.+\.denoiser\..+|embedding_denoiser\..+"
BIAS_TABLE = ".relative_position_bias_table"


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
        InputError: If the file lacks a key of the backbone or a part of a neck, has one that this backbone
            has no place for, or a tensor does not fit.
    """
    report = ImportReport(dropped=list(file.dropped), unexpected=list(file.unexpected))
    wanted = model.state_dict()
    if is_start:
        file = _match_branches(file, set(wanted))
    kept: dict[str, Tensor] = {}
    for key, tensor in _fit_windows(model, file.state, wanted, path).items():
        if key not in wanted:
            # Branches that the model was asked to do without are no loss either.
            is_extra = re.fullmatch(EXTRAS, key) or key.startswith("backbone.local_branch.")
            fate = report.dropped if is_extra else report.unexpected
        elif is_start and re.fullmatch(TABLES, key) and tensor.shape != wanted[key].shape:
            fate = report.dropped
        elif key in POSITIONS and not _is_same_grid(tensor, key, layout, model):
            refuse_values(path, {key: tensor}, wanted)
            kept[key] = _resize(tensor, layout, model, path, wanted[key].ndim)
            fate = report.interpolated
        else:
            kept[key] = tensor
            fate = report.matched if tensor is file.state[key] else report.interpolated
        # A key that went to two branches is one key of the file.
        fate += [old for old in file.origin[key] if old not in fate]
    report.missing = [key for key in wanted if key not in kept]
    _check(report, model, path, f"{COUNTERS}|{ADDED if is_start else FIXED}", file)
    _check_necks(report, model, path, is_needed=model.spec.neck_feat == "after" and not is_start)
    if not is_start:
        _check_parts(file, wanted, path)
    _check_exponent(kept, path)
    load_strictly(model, kept | {key: wanted[key] for key in report.missing}, path)
    return report


def _fit_windows(
    model: ReIDModel, state: dict[str, Tensor], wanted: dict[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Bring the position biases of a Swin transformer's square windows to the model's; all else stays.

    A window of w x w has (2w - 1)^2 biases; what has another number and another shape is left to be refused.
    """
    biases = {
        key: tensor
        for key, tensor in state.items()
        if key.endswith(BIAS_TABLE) and key in wanted and tensor.shape != wanted[key].shape
        if tensor.ndim == 2 and math.isqrt(len(tensor)) % 2 and math.isqrt(len(tensor)) ** 2 == len(tensor)
    }
    refuse_values(path, biases, wanted)
    return state | fit_swin(model.backbone, biases, BACKBONE)


def _match_branches(file: Translation, wanted: set[str]) -> Translation:
    """Bring the last block, and blocks that a non-local block follows, to where the model has them."""
    has_branches = any(key.startswith("backbone.global_branch.") for key in file.state)
    wants_branches = any(key.startswith("backbone.global_branch.") for key in wanted)
    blocks = (re.match(r"backbone\.blocks\.(\d+)\.", key) for key in file.state)
    last = max((int(match[1]) for match in blocks if match), default=-1)
    matched = replace(file, state={}, origin={})
    for key, tensor in file.state.items():
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
            name = re.sub(r"^(backbone\.layer\d\.\d+)\.", r"\1.0.", key)
            names = [name if name in wanted else key]
        matched.state |= dict.fromkeys(names, tensor)
        matched.origin |= dict.fromkeys(names, file.origin[key])
    return matched


def _is_same_grid(tensor: Tensor, key: str, layout: PatchLayout, model: ReIDModel) -> bool:
    """Whether positions fit as they are; 256x128 and 128x256 have as many patches, but others."""
    grid = _grid(model)
    return tensor.shape == model.get_parameter(key).shape and layout.grid in (None, grid)


def _resize(tensor: Tensor, layout: PatchLayout, model: ReIDModel, path: Path, ndim: int) -> Tensor:
    try:
        resized = resize_position_embedding(tensor, _grid(model), 1, layout)  # (1, 1 + N, D)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return resized[0] if ndim == 2 else resized


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
        if key.startswith((BACKBONE, REDUCTION)) and not re.fullmatch(optional, key)
    ]
    if missing:
        raise InputError(
            f"{path} is no {name}: {len(missing)} keys of the backbone are missing, such as {missing[0]}"
            f" (the file has {file.describe()})"
        )
    read = {old for key, keys in file.origin.items() if key.startswith((BACKBONE, REDUCTION)) for old in keys}
    own = model.state_dict()
    foreign = [
        key
        for key in report.unexpected
        if key in read
        or re.fullmatch(HEADS, key, re.DOTALL)
        or key.startswith(PREFIXES)
        or BACKBONE + key in own
    ]
    if foreign:
        raise InputError(
            f"{path} has {len(foreign)} keys that {name} has no place for here, such as"
            f" {printable(foreign[0])}"
        )


def _check_necks(report: ImportReport, model: ReIDModel, path: Path, *, is_needed: bool) -> None:
    """A neck is complete or wholly absent, but for its counter; ranked behind it, it must be there."""
    necks = [f"part_necks.{i}" for i in range(len(model.part_necks))]
    for neck in ("neck", *necks):
        keys = [f"{neck}.{key}" for key in model.neck.state_dict() if not re.fullmatch(COUNTERS, f"n.{key}")]
        missing = [key for key in keys if key in report.missing]
        if missing and (is_needed or len(missing) < len(keys)):
            raise InputError(
                f"{path} must have a whole neck for {model.spec.name}, {len(missing)} of its {len(keys)} keys"
                f" are missing, such as {missing[0]}"
            )


def _check_parts(file: Translation, wanted: dict[str, Tensor], path: Path) -> None:
    """A network of another number of parts is another network, though it would fit but for that."""
    for kind in ("part_necks", "part_classifiers"):
        found, known = (
            {match[1] for match in (re.match(rf"{kind}\.(-?\d+)\.", key) for key in keys) if match}
            for keys in (file.state, wanted)
        )
        if found not in (set(), known):
            raise InputError(
                f"{path} must have {len(known)} part heads as its network has here, got {len(found)}"
                f" ({kind.removeprefix('part_')})"
            )


def _check_exponent(kept: dict[str, Tensor], path: Path) -> None:
    if EXPONENT not in kept:
        return
    (least, most), values = EXPONENTS, kept[EXPONENT].flatten().tolist()
    wrong = [value for value in values if not least <= value <= most]
    if wrong:
        raise InputError(
            f"{path} must have an exponent of its pooling in {least:g}..{most:g}, got {wrong[0]:g}"
        )

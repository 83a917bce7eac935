"""Foreign weights to a model: as the network that they are, or as the start of a training."""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reid.models.backbones import create_backbone, patch_grid
from reid.models.formats.detect import FileFormat, detect
from reid.models.formats.fill import POSITIONS, fill
from reid.models.formats.plan import ImportOptions, own_grid, plan_model
from reid.models.formats.report import ImportReport
from reid.models.formats.translate import translate
from reid.models.header import Header
from reid.models.position import PatchLayout
from reid.models.preprocessing import Preprocessing
from reid.models.read import has_header, read_file, state_dict_in
from reid.models.reid_model import ReIDModel
from reid.models.words import config_words, describe_model
from reid.utils import InputError

logger = logging.getLogger(__name__)


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


def load_pretrained(model: ReIDModel, path: Path, hw_ratio: int = 1) -> ImportReport:
    """Start ``model`` from a file: a pre-trained backbone, or a whole model of any known format.

    The backbone must be complete. Position embeddings are resized. Neck, classifiers and side information
    are taken where the file has them for as many identities and cameras, and start anew otherwise.

    Args:
        model: Changed in place, and only if all is well.
        path: A file of tensors.
        hw_ratio: Height over width of the pre-training's patch grid, where neither a header of ours nor the
            number of patches tells.

    Returns:
        What became of every key; also logged.

    Raises:
        InputError: If the file cannot be read, is of no known format, lacks a backbone key, or has one that
            does not fit.
    """
    content = read_file(path)
    tensors = state_dict_in(content, path)
    grid = None
    if has_header(content) and any(key in tensors for key in POSITIONS):
        grid = _grid_in(Header.from_json(content["header"], path), path)
    return start_from(model, tensors, path, hw_ratio, grid)


def start_from(
    model: ReIDModel,
    tensors: dict[str, Tensor],
    path: Path,
    hw_ratio: int = 1,
    grid: tuple[int, int] | None = None,
) -> ImportReport:
    """Start ``model`` from what ``state_dict_in`` found in ``path``; see :func:`load_pretrained`.

    Args:
        model: As there.
        tensors: What was found.
        path: Where it is from.
        hw_ratio: As there.
        grid: Rows and columns of the file's patches, where they are known.

    Raises:
        InputError: If the file is of another network, with what to set instead where that is known.
    """
    form = detect_in(tensors, path, guess=True)
    if grid is None and form.grid is not None and not _has_own_positions(form, tensors, model):
        grid = form.grid[2:]
    layout = PatchLayout(grid, hw_ratio, "distilled" in form.parts)
    try:
        report = fill(model, translate(tensors, form, path), path, layout, is_start=True)
    except InputError as error:
        raise InputError(f"{error}{_remedy(form, model)}") from error
    logger.info("%s: %s", path, report.summarise())
    return report


def _grid_in(header: Header, path: Path) -> tuple[int, int] | None:
    """Rows and columns of the patches of a checkpoint of ours: many sizes give as many."""
    try:
        with torch.device("meta"):  # shapes are enough
            return patch_grid(create_backbone(header.model))
    except InputError as error:
        raise InputError(f"{path} has a header that describes no model: {error}") from error


def _has_own_positions(form: FileFormat, tensors: dict[str, Tensor], model: ReIDModel) -> bool:
    """Whether this is ours without its header, and of as many patches as the model: then of its very size."""
    own = model.state_dict()
    return form.family.name == "ours" and any(
        key in own and key in tensors and tensors[key].shape == own[key].shape for key in POSITIONS
    )


def _remedy(form: FileFormat, model: ReIDModel) -> str:
    """What to set, where the file is of another network than the model."""
    try:
        own = config_words(plan_model(form))
    except InputError:
        return ""
    same = own == config_words(replace(model.spec, neck_feat=form.neck_feat))
    return "" if same else f"; the file is for {own}"


def convert(
    tensors: dict[str, Tensor], form: FileFormat, path: Path, options: ImportOptions | None = None
) -> Imported:
    """Build this toolkit's model for a foreign state dict and fill it.

    Args:
        tensors: As ``read_weights`` gives them.
        form: What ``detect`` said of them.
        path: Where they are from, for the errors.
        options: What no file tells.

    Raises:
        InputError: If the network cannot be built, its image size is unknown, the file lacks a key of the
            backbone or has one that this backbone has no place for, or a shape differs.
    """
    options = options or ImportOptions()
    try:
        spec = plan_model(form, options)
        spec = replace(spec, image_size=options.image_size or spec.image_size)
        assert form.images is not None  # only our own files leave it open, and they are refused
        preprocessing = Preprocessing(spec.image_size, **asdict(form.images))
        model = ReIDModel(spec, preprocessing)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    grid = own_grid(form, options)
    layout = PatchLayout(None if grid is None else grid[2:], 1, "distilled" in form.parts)
    report = fill(model, translate(tensors, form, path), path, layout, is_start=False)
    # What DenoiseRep's authors wrote is fused already: never to be fused again.
    header = Header(spec, preprocessing, state="fused" if form.family.name == "denoiserep" else "none")
    return Imported(model.eval(), header, report)


def import_content(content: Any, path: Path) -> Imported:
    """The foreign model in what ``read_file`` found in ``path``, its format told by its keys; also logged.

    Raises:
        InputError: As :func:`convert`, or if it is of no known format, or of several.
    """
    tensors = state_dict_in(content, path)
    form = detect_in(tensors, path)
    imported = convert(tensors, form, path)
    logger.info("%s: %s; %s", path, describe_model(imported.header.model), imported.report.summarise())
    return imported


def detect_in(
    tensors: dict[str, Tensor], path: Path, family: str | None = None, *, guess: bool = False
) -> FileFormat:
    """:func:`detect` for tensors, naming their file where it refuses.

    Args:
        tensors: By the file's keys.
        path: The file, for the message.
        family: As of :func:`detect`.
        guess: As of :func:`detect`.

    Raises:
        InputError: As :func:`detect`.
    """
    try:
        return detect({key: tuple(value.shape) for key, value in tensors.items()}, family, guess=guess)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error

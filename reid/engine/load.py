"""Load what is to be compared: a model and the baseline that it came from."""

import logging
from dataclasses import replace
from pathlib import Path

from torch import Tensor
from yacs.config import CfgNode

from reid.config import get_default_config
from reid.denoise import denoisers_by_layer, detach_denoisers
from reid.engine.run_folder import BASELINE, DENOISED
from reid.models import Header, ReIDModel
from reid.models.build import build_model_spec, build_preprocessing
from reid.models.checkpoint import load_any, rebuild
from reid.models.formats import detect_in, import_content, start_from
from reid.models.read import count_classes, has_header, read_file, state_dict_in
from reid.models.words import describe_model
from reid.utils import InputError

logger = logging.getLogger(__name__)


COUNTER = ".num_batches_tracked"
# Whose files say nothing of an evaluation: the configuration's model starts from them.
WITHOUT_EVALUATION = ("ours", "imagenet", "ssl-pretraining", "clip")


def load_for_test(cfg: CfgNode, path: Path) -> tuple[ReIDModel, Header]:
    """The model of ``path`` for the evaluation that ``cfg`` describes.

    A checkpoint of this toolkit brings its own architecture and preprocessing, and so does a file of another
    code base for re-identification; a state dict without either, or a pre-training, is read into the
    architecture of ``cfg``.

    Raises:
        InputError: If the file cannot be read, is of no known format, or is of another backbone than ``cfg``
            says.
    """
    content = read_file(path)
    if has_header(content):
        model, header = rebuild(content, path)
    else:
        tensors = state_dict_in(content, path)
        if detect_in(tensors, path, guess=True).family.name in WITHOUT_EVALUATION:
            return _load_as_configured(cfg, tensors, path)
        model, header, _ = import_content(content, path)
    if header.model.name != cfg.MODEL.NAME:
        raise InputError(
            f"{path} holds {header.model.name}, MODEL.NAME says {cfg.MODEL.NAME}; use its own config, or pass"
            f" MODEL.NAME {header.model.name}"
        )
    logger.info(
        "%s holds %s; what else MODEL says of the network is not read", path, describe_model(header.model)
    )
    if changed := header.preprocessing.instead_of(build_preprocessing(cfg)):
        logger.info("images are prepared as %s says: %s", path, changed)
    if header.is_adapted and header.model.neck_feat != cfg.TEST.NECK_FEAT:
        raise InputError(
            f"{path} was adapted on the feature {header.model.neck_feat} the neck, TEST.NECK_FEAT is"
            f" {cfg.TEST.NECK_FEAT}; set TEST.NECK_FEAT {header.model.neck_feat}"
        )
    model.spec = replace(model.spec, neck_feat=cfg.TEST.NECK_FEAT)
    return model, header


def load_to_adapt(cfg: CfgNode, path: Path, *, is_configured: bool) -> tuple[ReIDModel, Header]:
    """The model that is adapted to a site: as its file says, or where a recipe is given as ``cfg`` says.

    Raises:
        InputError: As :func:`load_for_test`; without a recipe, if one is needed to read the file as asked.
    """
    if is_configured:
        model, header = load_for_test(cfg, path)
        return model, replace(header, model=model.spec)
    model, header = load_any(path)
    default = get_default_config().TEST.NECK_FEAT
    if cfg.TEST.NECK_FEAT not in (default, model.spec.neck_feat):
        raise InputError(
            f"{path} is adapted on the feature {model.spec.neck_feat} the neck, as it says; for"
            f" TEST.NECK_FEAT {cfg.TEST.NECK_FEAT} name its recipe too (--config)"
        )
    return model, header


def _load_as_configured(cfg: CfgNode, tensors: dict[str, Tensor], path: Path) -> tuple[ReIDModel, Header]:
    preprocessing = build_preprocessing(cfg)
    model = ReIDModel(build_model_spec(cfg, count_classes(tensors)), preprocessing)
    report = start_from(model, tensors, path, cfg.MODEL.PRETRAIN_HW_RATIO)
    # A training may begin with these anew; an evaluation would rank random features.
    read = ("backbone.", "reduction.", "neck.", "part_necks.")[: 4 if cfg.TEST.NECK_FEAT == "after" else 2]
    absent = [key for key in report.missing if key.startswith(read) and not key.endswith(COUNTER)]
    if absent:
        raise InputError(
            f"{path} lacks {len(absent)} keys of what the configuration evaluates, such as {absent[0]}"
        )
    return model.eval(), Header(model.spec, preprocessing)


def load_plain(cfg: CfgNode, path: Path) -> tuple[ReIDModel, Header]:
    """The model of ``path`` as :func:`load_for_test` reads it, without the denoisers that it may have.

    Raises:
        InputError: If it was fused, or as :func:`load_for_test`.
    """
    model, header = load_for_test(cfg, path)
    if header.state == "fused":
        raise InputError(
            f"the weights must be of a model before fusion, which cannot be undone, {path} is fused; name the"
            f" {BASELINE} or {DENOISED} that it came from"
        )
    return detach_denoisers(model), replace(header, denoise=None, state="none")


def load_baseline(
    cfg: CfgNode, model: ReIDModel, path: Path, baseline: Path | None, *, is_fused: bool = False
) -> tuple[ReIDModel | None, str]:
    """The model before denoising, and where it came from.

    It is, in this order: the file named; ``baseline.pth`` beside the denoised checkpoint; the model without
    its denoisers, which is the baseline only where the backbone stayed frozen.

    Args:
        cfg: Of the evaluation.
        model: What is evaluated.
        path: Its file.
        baseline: The file named, if one is.
        is_fused: Whether ``model`` was fused from one with denoisers.

    Returns:
        None where ``model`` has no denoisers and no file is named.

    Raises:
        InputError: If the file cannot be used, carries denoisers, or wants its images prepared differently.
    """
    beside = path.with_name(BASELINE)
    if baseline is None and (is_fused or denoisers_by_layer(model)) and beside.is_file():
        baseline = beside
    if baseline is not None:
        loaded = load_for_test(cfg, baseline)[0]
        if denoisers_by_layer(loaded):
            raise InputError(f"the baseline must have no denoisers, {baseline} has them; name a plain model")
        if loaded.preprocessing != model.preprocessing:
            raise InputError(
                f"baseline and model must see the same images: {baseline} wants {loaded.preprocessing},"
                f" {path} wants {model.preprocessing}; evaluate one at a time, with --weights alone"
            )
        return loaded, str(baseline)
    if denoisers_by_layer(model):
        return detach_denoisers(model), f"{path} without its denoisers"
    return None, str(path)

"""Controls of a denoising run: what its gain must be held against, from the same start and seed.

    untouched             the weights that the denoising started from
    no denoisers          the same epochs, rates, batches and share of L_label, without denoisers
    random denoisers      the same, with fixed random denoisers of the trained ones' norms

The paper's tables lack them: a gain over the untouched model alone may be that of the extra epochs.
"""

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from reid.denoise import denoised_layers, fuse_denoisers, randomize_denoisers, weight_change
from reid.engine.compare import FINAL_FEATURE, FUSED
from reid.engine.run_folder import BASELINE, DENOISED, PLAIN, RunFolder
from reid.engine.train import TrainingRun
from reid.models import ReIDModel, load_checkpoint
from reid.models.weights import load_strictly
from reid.utils import InputError, digest

logger = logging.getLogger(__name__)

UNTOUCHED = "untouched"
NO_DENOISERS = "same schedule, no denoisers"
RANDOM_DENOISERS = "same schedule, random denoisers"
FOLDER = "controls"
NO_DENOISERS_FOLDER, RANDOM_FOLDER = "no_denoisers", "random_denoisers"


@dataclass(frozen=True, eq=False)
class Outcome:
    """A model of the table.

    Args:
        name: Its row.
        model: As it is used for retrieval: fused where it can be.
        changes: |W'-W|/|W| of its own fusion by layer; empty without denoisers.
    """

    name: str
    model: ReIDModel
    changes: dict[str, float]


def run_all(run: TrainingRun, *, controls: bool, resume: bool) -> None:
    """Train a run and, after it, its controls in folders below its own; what is finished is taken as it is.

    Args:
        run: Built, not started.
        controls: Whether its controls are trained.
        resume: Whether to go on from what the folder holds.

    Raises:
        InputError: If there is no denoising to be controlled, or as :meth:`TrainingRun.run`.
    """
    if controls:
        _check(run, resume)
    _run_or_keep(run, resume)
    if controls:
        start = start_of(run)
        if trains_without_denoisers(run):
            _run_or_keep(_control(run, start, NO_DENOISERS_FOLDER, denoises=False), resume)
        trained = _load(run, run.folder.path / DENOISED, "attached")
        fixed = _control(run, start, RANDOM_FOLDER, denoises=True)
        fixed.facts["digests"] |= {"trained denoisers": digest(trained.state_dict().values())}
        _run_or_keep(replace(fixed, attach=partial(_attach_random, run, trained)), resume)


def outcomes(run: TrainingRun, *, controls: bool) -> Iterator[Outcome]:
    """The models of a finished run, and of its controls, one after the other; the untouched one first.

    A label-free schedule trains nothing where there are no denoisers: its model is the untouched one, and
    comes again.
    """
    start = start_of(run)
    yield Outcome(UNTOUCHED, start, {})
    if not run.stages[-1].denoises:
        return
    if controls:
        plain = run.folder.path / FOLDER / NO_DENOISERS_FOLDER / PLAIN
        trained = _load(run, plain, "none") if trains_without_denoisers(run) else start
        yield Outcome(NO_DENOISERS, trained, {})
        yield _denoised(run, RANDOM_DENOISERS, run.folder.path / FOLDER / RANDOM_FOLDER)
    yield _denoised(run, FUSED if run.denoise.is_fusable else FINAL_FEATURE, run.folder.path)


def trains_without_denoisers(run: TrainingRun) -> bool:
    """Whether the denoising stage trains anything beside denoisers."""
    return any(phase.trains_backbone for phase in run.stages[-1].phases)


def start_of(run: TrainingRun) -> ReIDModel:
    """The model that the last stage of denoising started from; that of a baseline run is its end."""
    model = copy.deepcopy(run.model)
    path = run.folder.path / BASELINE
    if run.stages[0].name == "baseline":
        load_strictly(model, load_checkpoint(path)[0].state_dict(), path)
    return model.eval()


def _check(run: TrainingRun, resume: bool) -> None:
    """Refuse before anything is trained what would be refused after it."""
    if not run.stages[-1].denoises:
        raise InputError("controls need a run that denoises, DENOISE.MODE is none; set another")
    if not run.evaluators:
        raise InputError("controls are compared on query and gallery images, there are none; check the data")
    if resume:
        return
    if run.folder.is_finished(run.config, _end_of(run)):
        raise InputError(f"{run.folder.path} holds the finished run; pass --resume to add its controls")
    for folder in (NO_DENOISERS_FOLDER, RANDOM_FOLDER):
        RunFolder(run.folder.path / FOLDER / folder).check_new()


def _run_or_keep(run: TrainingRun, resume: bool) -> None:
    logger.info("in %s: %s", run.folder.path, run.facts.get("control", "the run itself"))
    if resume and run.folder.is_finished(run.config, _end_of(run)):
        run.folder.check_facts(run.facts)
        logger.info("%s holds the finished run: it is taken as it is", run.folder.path)
        return
    run.run(resume)


def _control(run: TrainingRun, start: ReIDModel, folder: str, *, denoises: bool) -> TrainingRun:
    """The run's last stage again, from its start, without training denoisers; evaluated at the end alone."""
    *earlier, last = run.stages
    stage, training = last.without_training_denoisers(denoises=denoises), run.history[-1]
    if training is not None:
        # Where nothing is trained the weights are those of the start.
        training = replace(training, stage=folder) if trains_without_denoisers(run) else training.before
    digests = run.facts["digests"] | {"weights": digest(start.state_dict().values())}
    return replace(
        run,
        model=copy.deepcopy(start),
        stages=[*earlier, stage],
        history=[*run.history[:-1], training],
        skipped=len(earlier),
        folder=RunFolder(run.folder.path / FOLDER / folder),
        evaluators={},
        facts=run.facts | {"control": folder, "of": str(run.folder.path), "digests": digests},
    )


def _attach_random(run: TrainingRun, trained: ReIDModel, model: ReIDModel) -> ReIDModel:
    """A copy of ``model`` with fixed random denoisers as large as those of ``trained``."""
    model = randomize_denoisers(run.denoise.attach(model), trained, run.trainers["denoise"].seed)
    for name, parameter in model.named_parameters():
        if ".denoiser." in name:
            parameter.requires_grad_(False)
    return model


def _end_of(run: TrainingRun) -> str:
    """The checkpoint that a run ends with."""
    stage = run.stages[-1]
    return DENOISED if stage.denoises else BASELINE if stage.name == "baseline" else PLAIN


def _load(run: TrainingRun, path: Path, state: str) -> ReIDModel:
    """A checkpoint that the run, or a control of it, has left.

    Raises:
        InputError: If it cannot be read, or is another one.
    """
    model, header = load_checkpoint(path)
    if header.state != state or (state == "attached" and header.denoise != run.denoise):
        raise InputError(
            f"{path} must be the checkpoint of this run with its denoisers {state}, it is another one; delete"
            f" {path.parent} to train it anew"
        )
    return model


def _denoised(run: TrainingRun, name: str, folder: Path) -> Outcome:
    model = _load(run, folder / DENOISED, "attached")
    changes = weight_change(model)
    fuses = bool(denoised_layers(model))
    return Outcome(name, fuse_denoisers(model) if fuses else model, changes)

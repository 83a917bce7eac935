"""The classic check of a training: whether each phase can learn a single batch by heart."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from typing import Any

from torch import Tensor, nn
from tqdm import tqdm

from reid.data import Batch, iterate, set_epoch
from reid.engine.lr_schedule import MultiStep
from reid.engine.overfit_report import RIGHT, Attempt, OverfitReport
from reid.engine.phases import CLOSED_FORM, Phase, Stage
from reid.engine.train import TrainingRun
from reid.engine.trainer import Trainer
from reid.models import ReIDModel
from reid.utils import InputError, refresh_interval, short_name

CONSTANT = MultiStep(())  # every group at its peak


def overfit(run: TrainingRun, steps: int) -> OverfitReport:
    """Train each kind of phase of a run on one batch again and again; nothing is written.

    Each starts from the weights that the run starts from, so that one phase does not take from the next what
    there is to learn.

    Args:
        run: Left as it was.
        steps: Of each phase.

    Raises:
        InputError: If there are no steps, no batch or no phase that takes steps, an image cannot be read, or
            a loss is not finite.
    """
    if steps < 1:
        raise InputError(f"--overfit must take 1 step or more, got {steps}")
    phases = [(stage, phase) for stage in run.stages for phase in dict.fromkeys(stage.phases)]
    phases = [(stage, phase) for stage, phase in phases if phase != CLOSED_FORM]
    if not phases:
        raise InputError("the closed form takes no steps to overfit with; set DENOISE.CLOSED_FORM False")
    set_epoch(run.loader, 1)
    batch = next(iterate(run.loader), None)
    if batch is None:
        raise InputError(
            f"the {run.world.size} processes need an image each, {short_name(run.dataset)} has too few"
        )
    attempts = [_attempt(run, stage, phase, batch, steps) for stage, phase in phases]
    return OverfitReport(attempts, steps, len(batch.images) * run.world.size)


def _attempt(run: TrainingRun, stage: Stage, phase: Phase, batch: Batch, steps: int) -> Attempt:
    # Randomness belongs to epochs: the loss is measured twice in that of the first, and the steps are taken
    # in that of the second. In noise that it has learned from a loss would fall whatever else was learned.
    trainer = _new_trainer(run, Stage(stage.name, (phase, phase, *stage.phases), stage.denoises))
    before = _measure(trainer, batch)
    trainer.epoch = 1
    bar = tqdm(
        trainer.rehearse(repeat(batch, steps)),
        desc=f"overfitting in {phase.name}",
        total=steps,
        unit="step",
        mininterval=refresh_interval(),
        disable=not run.world.is_main,
    )
    for _ in bar:
        pass
    trainer.epoch = 0
    return Attempt(stage.name, phase, before, _measure(trainer, batch))


def _new_trainer(run: TrainingRun, stage: Stage) -> Trainer:
    """A trainer of a copy of the run's model, at peak rates."""
    specs = {name: replace(spec, schedule=CONSTANT) for name, spec in run.trainers.items()}
    return replace(run, model=copy.deepcopy(run.model), stages=[stage], trainers=specs).trainer(0)


def _measure(trainer: Trainer, batch: Batch) -> dict[str, float]:
    """The loss of the batch by parts, and where identities are in it the share that is classified right."""
    with _answers(trainer.model) as answers:
        (values,) = trainer.rehearse([batch], learns=False)
    if "id" in values:
        labels = trainer.world.gather(batch.pids.to(trainer.device))
        values[RIGHT] = float((answers[-1] == labels).float().mean())
    return values


@contextmanager
def _answers(model: ReIDModel) -> Iterator[list[Tensor]]:
    """The classes (B,) that the first branch's classifier gives in the passes inside the block."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...], logits: Tensor) -> None:
        found.append(logits.detach().argmax(dim=1))

    handle = model.classifier.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()

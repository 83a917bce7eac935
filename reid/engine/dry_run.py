"""A rehearsal of a run: a few steps of everything that it will do, and what all of it will take."""

import logging
import time
from collections import defaultdict
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reid.data import Batch, iterate, set_epoch
from reid.denoise import fuse_denoisers
from reid.engine.closed_form import ClosedForm
from reid.engine.distributed import World
from reid.engine.estimate import BatchTime, Cost, Disk, Estimate
from reid.engine.evaluate import Evaluator
from reid.engine.flags import relative_difference
from reid.engine.phases import CLOSED_FORM, Phase
from reid.engine.run_folder import FACTS, RunFolder
from reid.engine.train import TrainingRun
from reid.engine.trainer import Trainer
from reid.engine.training_reader import Clock, TrainingReader
from reid.evaluation import evaluation_mode
from reid.models import ReIDModel
from reid.utils import InputError, check_writable
from reid.utils.resources import free_space, peak_memory

logger = logging.getLogger(__name__)

TIMED_STEPS = 3
# States to go on from that are on the disk at once: the last, the one before it, one that is being written.
STATES = 3


class Tested(NamedTuple):
    """An evaluation, its first batch, and the seconds that it was waited for; no batch where it has none."""

    evaluator: Evaluator
    batch: Batch | None
    read: float


class Rehearsed(NamedTuple):
    """What a stage was seen to take.

    Args:
        steps: The seconds of a step of each kind of phase, without reading its batch.
        evaluations: The cost of those of each data set.
        state: Bytes of a state to go on from.
        kept: Bytes of the checkpoints that it leaves, and of statistics.
        fused_difference: As in :class:`Estimate`.
        solving: Seconds to solve the denoisers in closed form; None where they are trained.
    """

    steps: dict[Phase, float]
    evaluations: list[Cost]
    state: int
    kept: int
    fused_difference: float | None
    solving: float | None


class Readers(NamedTuple):
    """Of training batches, and of the images that the closed form passes over."""

    training: TrainingReader
    images: TrainingReader

    def of(self, phase: Phase) -> TrainingReader:
        """Of the batches of a phase."""
        return self.images if phase == CLOSED_FORM else self.training


def dry_run(run: TrainingRun, clock: Clock = time.perf_counter) -> Estimate:
    """Try everything that a run will do, and estimate what it will take; nothing is written.

    What could fail after hours fails here: a folder that holds a run or cannot be written, images of the
    first training and test batches that cannot be read, a loss that is not finite, denoisers that do not
    fold.

    Args:
        run: Its model is trained a few steps, so it is of no use afterwards.
        clock: Tells the time in seconds.

    Raises:
        InputError: For each of these.
    """
    _check_folder(run.folder)
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.device)
    tested = {name: _read_first(evaluator, clock) for name, evaluator in run.evaluators.items()}
    epochs = [_batches_of_epochs(run, index) for index in range(len(run.stages))]
    readers = Readers(*(TrainingReader(loader or run.loader, clock) for loader in (run.loader, run.images)))
    stages = [_rehearse(run, index, readers, tested, clock) for index in range(len(run.stages))]
    phases = []
    for stage, own, found in zip(run.stages, epochs, stages, strict=True):
        for phase, work in found.steps.items():
            reader = readers.of(phase)
            cost = BatchTime(_slowest(run.world, reader.read), work, reader.loader.num_workers)
            phases.append(Cost(stage.name, phase.name, own[phase], cost))
        if found.solving is not None:
            phases.append(Cost(stage.name, "solving", (1,), BatchTime(0.0, found.solving)))
    kept = sum(found.kept for found in stages)
    most = kept + STATES * max(found.state for found in stages)
    differences = [found.fused_difference for found in stages if found.fused_difference is not None]
    return Estimate(
        phases=phases,
        evaluations=[cost for found in stages for cost in found.evaluations],
        timed=TIMED_STEPS,
        processes=run.world.size,
        device=run.device.type,
        memory=max(run.world.gather_objects(peak_memory(run.device))),
        disk=Disk(kept, most, free_space(run.folder.path)),
        fused_difference=max(differences, default=None),
        folder=str(run.folder.path),
    )


def count_bytes(tree: Any) -> int:
    """The size of all tensors in dictionaries and lists."""
    if isinstance(tree, Tensor):
        return tree.nbytes
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return sum(count_bytes(value) for value in values)


def _check_folder(folder: RunFolder) -> None:
    """Refuse what a run would refuse, or fail on, when it writes."""
    folder.check_new()
    try:
        check_writable(folder.path / FACTS)
    except InputError as error:
        raise InputError(f"OUTPUT_DIR {folder.path}: {error}") from error


def _batches_of_epochs(run: TrainingRun, index: int) -> dict[Phase, tuple[int, ...]]:
    """How many batches each epoch of a stage has, by its phase; it depends on what the epoch draws."""
    found: dict[Phase, tuple[int, ...]] = defaultdict(tuple)
    before = sum(len(stage.phases) for stage in run.stages[:index])
    for number, phase in enumerate(run.stages[index].phases, before + 1):
        if phase == CLOSED_FORM and run.images is not None:
            found[phase] += (len(run.images),)
            continue
        set_epoch(run.loader, number)
        found[phase] += (len(run.loader),)
    return found


def _rehearse(
    run: TrainingRun, index: int, readers: Readers, tested: dict[str, Tested], clock: Clock
) -> Rehearsed:
    """Take steps of each phase of a stage, embed a batch of each evaluation, fold the denoisers."""
    stage, trainer = run.stages[index], run.trainer(index)
    model, steps = trainer.model, {}
    for phase in dict.fromkeys(stage.phases):
        trainer.epoch = stage.phases.index(phase)
        steps[phase] = _time_steps(trainer, readers.of(phase), clock)
        logger.info("stage %s, phase %s: %.3f s a step", stage.name, phase.name, steps[phase])
    solving = _time_solving(trainer, clock) if isinstance(trainer, ClosedForm) else None
    evaluations = []
    for name, found in tested.items():
        number, loader = len(run.evaluated_epochs(stage)), found.evaluator.loader
        work, read = (_slowest(run.world, s) for s in (_time_embedding(found, model, clock), found.read))
        cost = BatchTime(read, work, loader.num_workers)
        evaluations.append(Cost(stage.name, name, (len(loader),) * number, cost))
    kept, difference = count_bytes(model.state_dict()), None
    state = kept + count_bytes(trainer.state_dict())
    kept += trainer.count_bytes() if isinstance(trainer, ClosedForm) else 0
    if stage.denoises and run.denoise.is_fusable:
        fused = _fuse(model)
        kept += count_bytes(fused.state_dict())
        (batch,) = readers.of(stage.phases[-1]).take(1)
        difference = _difference(fused, model, batch.images.to(run.device))
    return Rehearsed(steps, evaluations, state, kept, difference, solving)


def _time_steps(trainer: Trainer, reader: TrainingReader, clock: Clock) -> float:
    """Seconds of a step without reading its batch, the median; the first step is not counted."""
    seconds, start = [], clock()
    for _ in trainer.rehearse(reader.take(1 + TIMED_STEPS)):
        end = clock()
        seconds.append(end - start - reader.waits[-1])
        start = end
    return _slowest(trainer.world, median(seconds[1:]))


def _time_solving(trainer: ClosedForm, clock: Clock) -> float:
    start = clock()
    trainer.finish_rehearsal()
    return _slowest(trainer.world, clock() - start)


def _read_first(evaluator: Evaluator, clock: Clock) -> Tested:
    start = clock()
    batch = next(iterate(evaluator.loader), None)
    return Tested(evaluator, batch, clock() - start)


def _time_embedding(tested: Tested, model: ReIDModel, clock: Clock) -> float:
    """Seconds to embed a batch; it is embedded once before that."""
    if tested.batch is None:  # fewer images than processes
        return 0.0
    tested.evaluator.embed(model, [tested.batch], 1)
    start = clock()
    tested.evaluator.embed(model, [tested.batch], 1)
    return clock() - start


def _slowest(world: World, seconds: float) -> float:
    """The longest of all processes: they wait for each other."""
    return max(world.gather_objects(seconds))


def _fuse(model: ReIDModel) -> ReIDModel:
    try:
        return fuse_denoisers(model)
    except ValueError as error:
        raise InputError(
            f"the denoisers of {model.spec.name} do not fold into its layers: {error}; choose other"
            " DENOISE.TARGETS"
        ) from error


def _difference(fused: ReIDModel, model: ReIDModel, images: Tensor) -> float:
    """How far folding moves the features of images, relative to the largest of them."""
    with evaluation_mode(fused, model):
        return relative_difference(fused.embed(images), model.embed(images))

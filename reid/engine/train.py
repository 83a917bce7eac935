"""A training run: baseline, then denoisers, in one folder that is enough to repeat it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import mean
from typing import Any

import torch
from torch.utils.data import DataLoader

from reid.denoise import fuse_denoisers, weight_change
from reid.engine.bad_batch import BadBatchError, write_bad_batch
from reid.engine.closed_form import ClosedForm
from reid.engine.distributed import ALONE, World
from reid.engine.evaluate import Evaluator
from reid.engine.pace import EVALUATION, TimeLeft, in_gigabytes
from reid.engine.phases import CLOSED_FORM, IDLE, Stage
from reid.engine.run_folder import (
    BAD_BATCH,
    BASELINE,
    DENOISED,
    FUSED,
    LAST,
    PLAIN,
    STATISTICS,
    RunFolder,
)
from reid.engine.steps import LabelLoss
from reid.engine.trainer import Trainer
from reid.engine.trainer_spec import TrainerSpec
from reid.engine.watch import Watch
from reid.evaluation import EvaluationResult
from reid.models import DenoiseSpec, Header, ReIDModel, Training, load_checkpoint, save_checkpoint
from reid.models.weights import load_strictly
from reid.utils import InputError, short_name
from reid.utils.units import time_in_words

logger = logging.getLogger(__name__)
Results = dict[str, dict[str, EvaluationResult]]


@dataclass(frozen=True)
class TrainingRun:
    """All parts of a run, built.

    Args:
        model: At its start, without denoisers.
        header: Of the plain model's checkpoint, before any training.
        history: What the checkpoint of each stage says that its weights come from.
        stages: What is trained, in turn.
        denoise: How denoisers are attached.
        attach: What attaches them, to a copy of the model.
        loader: Training batches.
        label_loss: The loss with labels.
        dataset: The name of the training set, for side information.
        trainers: How parameters are stepped: ``baseline`` and ``denoise`` stages.
        evaluators: By the data sets' names in the configuration; empty where none has test images.
        folder: Where everything is written.
        device: Where it is computed.
        eval_period: Epochs between evaluations; a stage's last epoch always has one.
        checkpoint_period: Epochs between states to resume from; likewise, and before each evaluation.
        config: The resolved configuration as YAML.
        facts: Versions, data counts and protocol, for ``run.json``.
        tensorboard: Whether TensorBoard events are written beside ``metrics.jsonl``.
        world: The processes that train it together; the main one writes.
        skipped: How many of the stages the model has been through already.
        images: The training images prepared as for a test, in order, those of this process: what the closed
            form reads; None where no stage does.
    """

    model: ReIDModel
    header: Header
    history: list[Training | None]
    stages: list[Stage]
    denoise: DenoiseSpec
    attach: Callable[[ReIDModel], ReIDModel]
    loader: DataLoader
    label_loss: LabelLoss
    dataset: str
    trainers: dict[str, TrainerSpec]
    evaluators: dict[str, Evaluator]
    folder: RunFolder
    device: torch.device
    eval_period: int
    checkpoint_period: int
    config: str
    facts: dict[str, Any]
    tensorboard: bool = True
    world: World = ALONE
    skipped: int = 0
    images: DataLoader | None = None

    def run(self, resume: bool = False) -> Results:
        """Train every stage and write its checkpoint.

        Args:
            resume: Go on from an interrupted run in the folder, if there is one.

        Returns:
            The results at the end of each stage, by the stage's name, then the data set's.

        Raises:
            InputError: If the folder holds another or a finished run or one at work, its state cannot be
                resumed from, an image cannot be read, or the loss diverges: then see ``bad_batch.json``.
        """
        state = self.folder.resume(self.config) if resume else None
        if resume and state is None:
            logger.warning("%s holds nothing to resume: a new run begins", self.folder.path)
        if state is not None:
            self.folder.check_facts(self.facts)
        # The whole state is tried before anything in the folder changes.
        first = self.skipped if state is None else self._stage_of(state["epoch"])
        trainer = self.trainer(first, state)
        # Every process has read what it needs before the main one changes the folder.
        self.world.gather_objects(None)
        with self.folder.hold(is_main=self.world.is_main):
            return self._run_stages(first, trainer, state)

    def _run_stages(self, first: int, trainer: Trainer, state: dict[str, Any] | None) -> Results:
        """Begin or go on in the folder, from the stage ``first``, whose trainer is given."""
        if self.world.is_main and state is None:
            self.folder.start(self.config, self.facts)
        elif self.world.is_main and state is not None:
            self.folder.drop_metrics_after(state["epoch"])
            logger.info("resuming after epoch %d", state["epoch"])
        watch = Watch(self.folder, self._time_left(), self.world)
        if self.tensorboard:
            watch.open_board(None if state is None else state["epoch"])
        results = {} if state is None else self._earlier_results(first)
        for index in range(first, len(self.stages)):
            if index > first:
                trainer = self.trainer(index)
            results[trainer.stage.name] = self._run_stage(trainer, watch)
        watch.close()
        if self.world.is_main:
            self.folder.finish()
        # What the main process wrote can be read by all.
        self.world.gather_objects(None)
        return results

    def _earlier_results(self, first: int) -> Results:
        """The results of the stages before ``first``, that a resumed run is not going to see again."""
        results = {}
        for stage in self.stages[self.skipped : first]:
            model, _ = load_checkpoint(self.folder.path / BASELINE)
            found = {
                name: evaluator.evaluate_and_log(model, f"{stage.name}, its end")
                for name, evaluator in self.evaluators.items()
            }
            results[stage.name] = found
        return results

    def evaluated_epochs(self, stage: Stage) -> list[int]:
        """The epochs of a stage, from 1, that an evaluation follows."""
        last = len(stage.phases)
        return [epoch for epoch in range(1, last + 1) if epoch == last or epoch % self.eval_period == 0]

    def _stage_of(self, epoch: int) -> int:
        """The index of the stage that an epoch of the whole run, from 1, lies in."""
        ends = list(accumulate(len(stage.phases) for stage in self.stages))
        if not 1 <= epoch <= ends[-1]:
            raise InputError(
                f"{self.folder.path / LAST} must hold an epoch in 1..{ends[-1]}, got {epoch}; delete"
                f" {self.folder.path} to train anew"
            )
        return next(index for index, end in enumerate(ends) if epoch <= end)

    def trainer(self, index: int, state: dict[str, Any] | None = None) -> Trainer:
        """The trainer of a stage, where the run was interrupted in it at the place of the interruption.

        Args:
            index: Of the stage, from 0.
            state: What the interrupted run kept of it; None starts the stage.

        Raises:
            InputError: If ``state`` is of another run.
        """
        stage = self.stages[index]
        model = self.attach(self.model) if stage.denoises else self.model
        model.to(self.device)
        spec = self.trainers["baseline" if stage.name == "baseline" else "denoise"]
        first_epoch = 1 + sum(len(stage.phases) for stage in self.stages[:index])
        options = (self.label_loss, self.device, spec, first_epoch, self.dataset, self.world)
        if CLOSED_FORM in stage.phases and self.images is not None:
            statistics = self.folder.path / STATISTICS
            trainer: Trainer = ClosedForm(statistics, model, stage, self.images, *options)
        else:
            trainer = Trainer(model, stage, self.loader, *options)
        if state is not None:
            path = self.folder.path / LAST
            try:
                load_strictly(model, state["model"], path)
                trainer.load_state_dict(state)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise InputError(
                    f"{path} is not of this run: {error}; delete {self.folder.path} to train anew"
                ) from error
        return trainer

    def _time_left(self) -> TimeLeft:
        phases: list[str] = []
        evaluated: list[int] = []
        for stage in self.stages:
            evaluated += [len(phases) + epoch for epoch in self.evaluated_epochs(stage)]
            phases += ["" if phase == IDLE else phase.name for phase in stage.phases]
        return TimeLeft(phases, evaluated)

    def _run_stage(self, trainer: Trainer, watch: Watch) -> dict[str, EvaluationResult]:
        stage, model, total = trainer.stage, trainer.model, len(trainer.stage.phases)
        logger.info("stage %s: %s", stage.name, _count(total, "epoch"))

        def is_evaluated() -> bool:
            return trainer.epoch < total and trainer.epoch in self.evaluated_epochs(stage)

        def after_epoch(figures: dict[str, Any]) -> None:
            watch.left.add(figures["phase"], figures["seconds"])
            left = watch.left.after(trainer.number)
            logger.info(_epoch_line(figures, trainer.first_epoch - 1 + total, left))
            # Saved before the evaluation: an image that cannot be read must not cost the training so far.
            is_saved = trainer.epoch == total or trainer.epoch % self.checkpoint_period == 0 or is_evaluated()
            watch.add(figures)
            if self.world.is_main and is_saved:
                self.folder.save(self.config, trainer.state_dict() | {"model": model.state_dict()})
            if is_evaluated():
                self._evaluate(trainer, watch)

        if is_evaluated():  # again, where a run was interrupted in or after it
            self._evaluate(trainer, watch)
        try:
            trainer.fit(after_epoch)
        except BadBatchError as error:
            path = self.folder.path / BAD_BATCH
            listed = write_bad_batch(error.batch, path) if self.world.is_main else None
            # The others wait for it: where one process ends, torchrun ends the main one too.
            raise BadBatchError(error.batch, self.world.from_main(listed)) from None
        if self.world.is_main:
            self._save(model, stage)
        results = self._evaluate(trainer, watch)
        self._draw(model, watch)
        return results

    def _save(self, model: ReIDModel, stage: Stage) -> None:
        header = replace(self.header, training=self.history[self.stages.index(stage)])
        if not stage.denoises:
            name = BASELINE if stage.name == "baseline" else PLAIN
            save_checkpoint(self.folder.path / name, model, header)
            return
        changes = weight_change(model)
        logger.info(
            "weight change |W'-W|/|W| over %s: mean %.2e, largest %.2e",
            _count(len(changes), "layer"),
            mean(changes.values()),
            max(changes.values()),
        )
        attached = replace(header, denoise=self.denoise, state="attached")
        save_checkpoint(self.folder.path / DENOISED, model, attached)
        if self.denoise.is_fusable:
            save_checkpoint(self.folder.path / FUSED, fuse_denoisers(model), replace(attached, state="fused"))

    def _draw(self, model: ReIDModel, watch: Watch) -> None:
        protocols = {name: evaluator.protocol(model) for name, evaluator in self.evaluators.items()}
        note = "; ".join(f"{name}: {protocol.describe()}" for name, protocol in protocols.items())
        control = f", control {self.facts['control']}" if "control" in self.facts else ""
        watch.draw(f"{self.header.model.name} trained on {short_name(self.dataset)}{control}", note)

    def _evaluate(self, trainer: Trainer, watch: Watch) -> dict[str, EvaluationResult]:
        stage, epoch, results = trainer.stage.name, trainer.number, {}
        start = time.perf_counter()
        for name, evaluator in self.evaluators.items():
            try:
                results[name] = evaluator.evaluate_and_log(trainer.model, f"{stage}, epoch {epoch}")
            except InputError as error:
                raise InputError(
                    f"{error}; the training up to epoch {epoch} is kept: mend this, then go on with --resume"
                ) from error
            row = {"stage": stage, "epoch": epoch, "dataset": name}
            watch.add(row | {"evaluation": results[name].as_dict()})
        watch.left.add(EVALUATION, time.perf_counter() - start)
        return results


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _epoch_line(figures: dict[str, Any], last: int, left: float) -> str:
    names = ("id", "triplet", "image_text", "denoise")
    parts = " ".join(f"{name} {figures[name]:.4f}" for name in names if name in figures)
    parts = f" ({parts})" if parts else ""
    lr = f" lr {figures['lr']:.2e}" if "lr" in figures else ""
    memory = f", GPU memory {in_gigabytes(figures['gpu_memory_mb'])}" if "gpu_memory_mb" in figures else ""
    return (
        f"epoch {figures['epoch']}/{last} {figures['phase']} loss {figures['loss']:.4f}{parts}"
        f"{lr} {figures['images_per_s']:.1f} images/s{memory}"
        f"{f', {time_in_words(left)} left' if left else ''}"
    )

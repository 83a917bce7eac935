"""A training run: baseline, then denoisers, in one folder that is enough to repeat it."""

import logging
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import torch
from torch.utils.data import DataLoader

from reid.denoise import fuse_denoisers, weight_change
from reid.engine.evaluate import Evaluator
from reid.engine.phases import Stage
from reid.engine.run_folder import BASELINE, DENOISED, FUSED, RunFolder
from reid.engine.trainer import Trainer, TrainerSpec
from reid.evaluation import EvaluationResult
from reid.losses import IdentityTripletLoss
from reid.models import DenoiseSpec, Header, ReIDModel, Training, save_checkpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRun:
    """All parts of a run, built.

    Args:
        model: At its start, without denoisers.
        header: Of the plain model's checkpoint, before any training.
        history: What the checkpoint of each stage says that its weights come from.
        stages: What is trained, in turn.
        denoise: How denoisers are attached.
        loader: Training batches.
        criterion: The loss with labels.
        trainers: How parameters are stepped: ``baseline`` and ``denoise`` stages.
        evaluator: None where the data has no test images.
        folder: Where everything is written.
        device: Where it is computed.
        eval_period: Epochs between evaluations; a stage's last epoch always has one.
        checkpoint_period: Epochs between states to resume from; likewise.
        config: The resolved configuration as YAML.
        facts: Versions, data counts and protocol, for ``run.json``.
    """

    model: ReIDModel
    header: Header
    history: list[Training]
    stages: list[Stage]
    denoise: DenoiseSpec
    loader: DataLoader
    criterion: IdentityTripletLoss
    trainers: dict[str, TrainerSpec]
    evaluator: Evaluator | None
    folder: RunFolder
    device: torch.device
    eval_period: int
    checkpoint_period: int
    config: str
    facts: dict[str, Any]

    def run(self, resume: bool = False) -> dict[str, EvaluationResult]:
        """Train every stage and write its checkpoint.

        Args:
            resume: Go on from an interrupted run in the folder, if there is one.

        Returns:
            The result at the end of each stage by the stage's name; empty without test images.

        Raises:
            InputError: If the folder holds another run, an image cannot be read, or the loss diverges.
        """
        state = self.folder.resume(self.config) if resume else None
        if state is None:
            self.folder.start(self.config, self.facts)
        else:
            self.folder.drop_metrics_after(state["number"])
            logger.info("resuming after epoch %d", state["number"])
        results, model, first_epoch = {}, self.model, 1
        for index, stage in enumerate(self.stages):
            if stage.denoises:
                model = self.denoise.attach(model)
            if state is None or state["stage"] <= index:
                ours = state if state is not None and state["stage"] == index else None
                trainer = self._trainer(model, stage, first_epoch, ours)
                result = self._run_stage(trainer, index)
                if result is not None:
                    results[stage.name] = result
            first_epoch += len(stage.phases)
        self.folder.finish()
        return results

    def _trainer(
        self, model: ReIDModel, stage: Stage, first_epoch: int, state: dict[str, Any] | None
    ) -> Trainer:
        """The trainer of a stage, where the run was interrupted in it at the place of the interruption."""
        if state is not None:
            model.load_state_dict(state["model"])
        model.to(self.device)
        spec = self.trainers["denoise" if stage.denoises else "baseline"]
        trainer = Trainer(model, stage, self.loader, self.criterion, self.device, spec, first_epoch)
        if state is not None:
            trainer.load_state_dict(state["trainer"])
        return trainer

    def _run_stage(self, trainer: Trainer, index: int) -> EvaluationResult | None:
        stage, model = trainer.stage, trainer.model
        logger.info("stage %s: %d epochs", stage.name, len(stage.phases))

        def after_epoch(figures: dict[str, Any]) -> None:
            self.folder.add_metrics(figures)
            logger.info(_epoch_line(figures, len(stage.phases) + trainer.first_epoch - 1))
            is_last = trainer.epoch == len(stage.phases)
            if not is_last and trainer.epoch % self.eval_period == 0:
                self._evaluate(model, stage.name, figures["epoch"])
            if is_last or trainer.epoch % self.checkpoint_period == 0:
                state = {"stage": index, "number": figures["epoch"], "trainer": trainer.state_dict()}
                self.folder.save(self.config, {**state, "model": model.state_dict()})

        trainer.fit(after_epoch)
        self._save(model, stage)
        return self._evaluate(model, stage.name, trainer.first_epoch + len(stage.phases) - 1)

    def _save(self, model: ReIDModel, stage: Stage) -> None:
        header = replace(self.header, training=self.history[self.stages.index(stage)])
        if not stage.denoises:
            save_checkpoint(self.folder.path / BASELINE, model, header)
            return
        changes = weight_change(model)
        logger.info(
            "weight change |W'-W|/|W| over %d layers: mean %.2e, largest %.2e",
            len(changes),
            mean(changes.values()),
            max(changes.values()),
        )
        attached = replace(header, denoise=self.denoise, state="attached")
        save_checkpoint(self.folder.path / DENOISED, model, attached)
        save_checkpoint(self.folder.path / FUSED, fuse_denoisers(model), replace(attached, state="fused"))

    def _evaluate(self, model: ReIDModel, stage: str, epoch: int) -> EvaluationResult | None:
        if self.evaluator is None:
            return None
        result = self.evaluator.evaluate_and_log(model, f"{stage}, epoch {epoch}")
        self.folder.add_metrics({"stage": stage, "epoch": epoch, "evaluation": result.as_dict()})
        return result


def _epoch_line(figures: dict[str, Any], last: int) -> str:
    names = ("id", "triplet", "denoise")
    parts = " ".join(f"{name} {figures[name]:.4f}" for name in names if name in figures)
    return (
        f"epoch {figures['epoch']}/{last} {figures['phase']} loss {figures['loss']:.4f} ({parts})"
        f" lr {figures['lr']:.2e} {figures['images_per_s']:.1f} images/s"
    )

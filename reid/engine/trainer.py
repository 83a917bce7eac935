"""Train a model through one stage, epoch by epoch."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from reid.data import Batch, iterate, set_epoch
from reid.engine.distributed import ALONE, World
from reid.engine.lr_schedule import Schedule, set_learning_rate
from reid.engine.optimizer import OptimizerSpec, create_optimizer
from reid.engine.phases import Freezer, Phase, Stage
from reid.engine.steps import DenoiseWeight, LabelLoss, LossStep
from reid.losses import Loss
from reid.models import ReIDModel
from reid.utils import InputError, refresh_interval, seed_everything

logger = logging.getLogger(__name__)

# The configuration key of the learning rate in each phase.
LEARNING_RATES = {
    "baseline": "SOLVER.BASE_LR",
    "label_free": "DENOISE.BASE_LR",
    "denoisers": "DENOISE.BASE_LR",
    "backbone": "DENOISE.BACKBONE_LR",
    "joint": "DENOISE.BACKBONE_LR",
}


@dataclass(frozen=True)
class TrainerSpec:
    """What a trainer needs beside model, data and criterion.

    Args:
        seed: Of everything random; an epoch draws from (seed, epoch) alone.
        backbone: How the network without denoisers is stepped.
        denoisers: How denoisers are stepped.
        schedule: The rates of both in each epoch of a stage.
        denoise: How the denoising loss enters the sum.
        amp: Whether a GPU computes in float16 with loss scaling.
        clip_norm: Largest gradient norm; 0 does not clip.
        accumulate: Batches whose gradients are added up for a step.
    """

    seed: int
    backbone: OptimizerSpec
    denoisers: OptimizerSpec
    schedule: Schedule
    denoise: DenoiseWeight = field(default_factory=DenoiseWeight)
    amp: bool = False
    clip_norm: float = 0.0
    accumulate: int = 1


class Turn(NamedTuple):
    """The place of a batch among those whose gradients are added up.

    Args:
        is_first: Whether the gradients before it are done with.
        is_last: Whether a step follows.
        size: How many batches there are.
    """

    is_first: bool
    is_last: bool
    size: int


class Trainer:
    """Runs the epochs of a stage and keeps what must survive an interruption.

    Args:
        model: On ``device``; with denoisers in a stage that trains them.
        stage: The phases of the epochs.
        loader: Training batches; its batch sampler has ``set_epoch``.
        label_loss: The loss with labels.
        device: Where the model is.
        spec: Everything else.
        first_epoch: Number that the stage's first epoch has in the whole run, from 1.
        dataset: Whose images they are, for side information.
        world: The processes that share each batch.
    """

    def __init__(
        self,
        model: ReIDModel,
        stage: Stage,
        loader: DataLoader,
        label_loss: LabelLoss,
        device: torch.device,
        spec: TrainerSpec,
        first_epoch: int = 1,
        dataset: str = "",
        world: World = ALONE,
    ) -> None:
        self.model, self.stage, self.loader, self.label_loss = model, stage, loader, label_loss
        self.dataset, self.world = dataset, world
        self.device, self.spec, self.first_epoch = device, spec, first_epoch
        self.freezer = Freezer(model)
        self.epoch = 0  # epochs of this stage that are done
        self.optimizers = {"backbone": create_optimizer(spec.backbone, self.freezer.backbone)}
        if stage.denoises:
            self.optimizers["denoisers"] = create_optimizer(spec.denoisers, self.freezer.denoisers)
        self.scaler = torch.amp.GradScaler(enabled=spec.amp and device.type == "cuda")

    def fit(self, after_epoch: Callable[[dict[str, Any]], None]) -> None:
        """Train the epochs that are left, calling ``after_epoch`` with each one's figures.

        Raises:
            InputError: If an image cannot be read, or the loss or the weights are not finite.
        """
        total = len(self.stage.phases)
        with _progress_bar((total - self.epoch) * len(self.loader), self.world) as bar:
            while self.epoch < total:
                phase = self.stage.phases[self.epoch]
                bar.set_description(f"{phase.name} {self.epoch + 1}/{total}")
                figures = self._train_epoch(phase, bar)
                self.epoch += 1
                after_epoch(figures)

    def _train_epoch(self, phase: Phase, bar: tqdm) -> dict[str, Any]:
        number = self.number + 1
        set_epoch(self.loader, number)
        step, optimizers = self._enter(phase)
        mean, start, total = RunningMean(), time.perf_counter(), len(self.loader)
        for iteration, batch in enumerate(iterate(self.loader), 1):
            values = self._step(batch, step, optimizers, self._turn(iteration, total))
            if not math.isfinite(values["loss"]):
                parts = ", ".join(f"{name} {value:g}" for name, value in values.items())
                where = f"epoch {number}, iteration {iteration}"
                raise InputError(f"the loss is not finite in {where}: {parts}; {self._advice(phase)}")
            mean.add(values, len(batch.images) * self.world.size)
            bar.set_postfix({k: f"{v:.3f}" for k, v in mean.values().items()}, refresh=False)
            bar.update()
        seconds = time.perf_counter() - start
        # The loss of the next step would show it too late: after these weights have been saved.
        if not all(value.isfinite().all() for value in self.model.state_dict().values()):
            raise InputError(f"the weights are not finite after epoch {number}; {self._advice(phase)}")
        return {
            "stage": self.stage.name,
            "phase": phase.name,
            "epoch": number,
            **mean.values(),
            "lr": optimizers[0].param_groups[0]["lr"],
            "images_per_s": round(mean.count / seconds, 1),
        }

    def rehearse(self, batches: Iterable[Batch], learns: bool = True) -> Iterator[dict[str, float]]:
        """Take given batches as the present epoch would: its phase, rates and randomness, a step each.

        The epoch does not count as done.

        Args:
            batches: Read one by one.
            learns: False computes the losses and their gradients, and moves no parameter.

        Yields:
            The loss of each batch by parts, from before its step.

        Raises:
            InputError: If a loss is not finite.
        """
        phase = self.stage.phases[self.epoch]
        step, optimizers = self._enter(phase)
        for iteration, batch in enumerate(batches, 1):
            values = self._step(batch, step, optimizers, Turn(True, learns, 1))
            if not math.isfinite(values["loss"]):
                where = f"phase {phase.name}, step {iteration}"
                raise InputError(f"the loss is not finite in {where}; {self._advice(phase)}")
            yield values

    def _enter(self, phase: Phase) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Begin the present epoch: what computes the loss, and what steps, at the epoch's rates."""
        # Processes drop other paths and draw other noise; a single one draws what it always drew.
        ranks = [self.world.rank] if self.world.size > 1 else []
        seed_everything(self.spec.seed, self.number + 1, *ranks)
        self.freezer.enter(phase)
        step, optimizers = self._loss_step(phase), self._optimizers_of(phase)
        for optimizer in optimizers:
            set_learning_rate(optimizer, self.spec.schedule, self.epoch + 1, len(self.stage.phases))
        return step, optimizers

    def _loss_step(self, phase: Phase) -> nn.Module:
        """What computes the loss of a batch; with several processes it averages their gradients."""
        options = (phase, self.label_loss, self.spec.denoise, self.dataset, self.world)
        step = LossStep(self.model, *options)
        if self.world.size == 1:
            return step
        # Made anew in each phase: it looks at what is trained only once.
        return DistributedDataParallel(
            step,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            find_unused_parameters=phase.uses_labels and not self.label_loss.criterion.id_weight,
        )

    def _optimizers_of(self, phase: Phase) -> list[torch.optim.Optimizer]:
        trained = {"backbone": phase.trains_backbone, "denoisers": phase.trains_denoisers}
        return [self.optimizers[name] for name, is_trained in trained.items() if is_trained]

    def _turn(self, iteration: int, total: int) -> Turn:
        """The place of an iteration (from 1) among those whose gradients are added up."""
        place = (iteration - 1) % self.spec.accumulate
        size = min(self.spec.accumulate, total - (iteration - 1 - place))
        return Turn(place == 0, place == size - 1, size)

    def _step(
        self, batch: Batch, step: nn.Module, optimizers: list[torch.optim.Optimizer], turn: Turn
    ) -> dict[str, float]:
        """One batch: its loss by parts, the mean over the processes."""
        batch = Batch(*(column.to(self.device, non_blocking=True) for column in batch))
        if turn.is_first:
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
        waits = isinstance(step, DistributedDataParallel) and not turn.is_last
        with step.no_sync() if waits else nullcontext():  # type: ignore[operator]
            with torch.autocast(self.device.type, torch.float16, enabled=self.scaler.is_enabled()):
                loss: Loss = step(batch)
            self.scaler.scale(loss.total / turn.size).backward()
        if turn.is_last:
            self._update(optimizers)
        names = ["loss", *loss.parts]
        values = self.world.mean(torch.stack([loss.total, *loss.parts.values()]).detach().float())
        return dict(zip(names, values.tolist(), strict=True))

    def _update(self, optimizers: list[torch.optim.Optimizer]) -> None:
        for optimizer in optimizers:
            if self.spec.clip_norm:
                self.scaler.unscale_(optimizer)
                parameters = [p for group in optimizer.param_groups for p in group["params"]]
                nn.utils.clip_grad_norm_(parameters, self.spec.clip_norm)
            self.scaler.step(optimizer)
        self.scaler.update()

    def _advice(self, phase: Phase) -> str:
        """What to do where training has diverged."""
        rate = LEARNING_RATES[phase.name]
        return f"lower {rate} or set SOLVER.AMP False" if self.scaler.is_enabled() else f"lower {rate}"

    @property
    def number(self) -> int:
        """How many epochs of the whole run are done."""
        return self.first_epoch - 1 + self.epoch

    def state_dict(self) -> dict[str, Any]:
        """What a resumed trainer continues from, beside the model; ``epoch`` counts in the whole run."""
        return {
            "epoch": self.number,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` gave, on a CPU or a GPU alike."""
        self.epoch = state["epoch"] - self.first_epoch + 1
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if state["scaler"]:  # empty where the loss was not scaled; the scale then starts anew
            self.scaler.load_state_dict(state["scaler"])


class RunningMean:
    """Means of named values over the images seen so far."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0

    def add(self, values: dict[str, float], count: int) -> None:
        """Add the means over ``count`` more images."""
        self.count += count
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * count

    def values(self) -> dict[str, float]:
        """The means; empty before the first image."""
        return {name: total / self.count for name, total in self.sums.items()}


def _progress_bar(total: int, world: World) -> tqdm:
    silent = not world.is_main
    return tqdm(total=total, unit="batch", mininterval=refresh_interval(), dynamic_ncols=True, disable=silent)

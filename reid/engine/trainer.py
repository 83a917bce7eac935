"""Train a model through one stage, epoch by epoch."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from reid.data import Batch, iterate, paths_of, set_epoch
from reid.engine.activations import recompute_blocks
from reid.engine.bad_batch import BadBatch, BadBatchError, LossGuard
from reid.engine.distributed import ALONE, World
from reid.engine.lr_schedule import set_learning_rate
from reid.engine.optimizer import create_optimizer
from reid.engine.pace import Pace, bar_words
from reid.engine.phases import IDLE, Freezer, Phase, Stage
from reid.engine.steps import LabelLoss, LossStep
from reid.engine.trainer_spec import TrainerSpec
from reid.losses import Loss
from reid.models import ReIDModel
from reid.models.backbones import blocks_of
from reid.utils import InputError, refresh_interval, seed_everything, seeded_generator

logger = logging.getLogger(__name__)

# The configuration key of the learning rate in each phase.
LEARNING_RATES = {
    "baseline": "SOLVER.BASE_LR",
    "label_free": "DENOISE.BASE_LR",
    "denoisers": "DENOISE.BASE_LR",
    "backbone": "DENOISE.BACKBONE_LR",
    "joint": "DENOISE.BACKBONE_LR or DENOISE.BASE_LR",
}


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

    Raises:
        InputError: If the blocks of a backbone that are to be computed again are not known.
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
        self.freezer, self.guard = Freezer(model), LossGuard()
        self.recomputed = blocks_of(model.backbone) if spec.grad_checkpointing else []
        self.epoch = 0  # epochs of this stage that are done
        self.optimizers = {"backbone": create_optimizer(spec.backbone, self.freezer.backbone)}
        if self.freezer.denoisers:  # none, or fixed ones, in the controls
            self.optimizers["denoisers"] = create_optimizer(spec.denoisers, self.freezer.denoisers)
        self.scaler = torch.amp.GradScaler(enabled=spec.amp and device.type == "cuda")

    def fit(self, after_epoch: Callable[[dict[str, Any]], None]) -> None:
        """Train the epochs that are left, calling ``after_epoch`` with each one's figures.

        Raises:
            BadBatchError: If a loss is not finite or has exploded.
            InputError: If an image cannot be read, or the weights are not finite.
        """
        total = len(self.stage.phases)
        with _progress_bar((total - self.epoch) * len(self.loader), self.world) as bar:
            while self.epoch < total:
                phase = self.stage.phases[self.epoch]
                if phase == IDLE:
                    self.epoch += 1
                    bar.update(len(self.loader))
                    continue
                bar.set_description(f"{phase.name} {self.epoch + 1}/{total}")
                with recompute_blocks(self.recomputed):
                    figures = self._train_epoch(phase, bar)
                self.epoch += 1
                after_epoch(figures)

    def _train_epoch(self, phase: Phase, bar: tqdm) -> dict[str, Any]:
        number = self.number + 1
        set_epoch(self.loader, number)
        step, optimizers = self._enter(phase)
        lr = optimizers[0].param_groups[0]["lr"]
        mean, pace, total = RunningMean(), Pace(self.device), len(self.loader)
        for iteration, batch in enumerate(iterate(self.loader), 1):
            values = self._step(batch, step, optimizers, self._turn(iteration, total))
            if reason := self.guard.fault(phase.name, values["loss"]):
                raise self._bad_batch(reason, phase, iteration, values, batch)
            mean.add(values, len(batch.images) * self.world.size)
            bar.set_postfix(bar_words(mean.values(), lr, pace.figures(mean.count)), refresh=False)
            bar.update()
        speed = pace.figures(mean.count)
        # The loss of the next step would show it too late: after these weights have been saved.
        if not all(value.isfinite().all() for value in self.model.state_dict().values()):
            raise InputError(f"the weights are not finite after epoch {number}; {self._advice(phase)}")
        return {
            "stage": self.stage.name,
            "phase": phase.name,
            "epoch": number,
            **mean.values(),
            "lr": lr,
            **({"lr_denoisers": optimizers[1].param_groups[0]["lr"]} if len(optimizers) > 1 else {}),
            **speed,
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
            with recompute_blocks(self.recomputed):
                values = self._step(batch, step, optimizers, Turn(True, learns, 1))
            if not math.isfinite(values["loss"]):
                where = f"phase {phase.name}, step {iteration}"
                raise InputError(f"the loss is not finite in {where}; {self._advice(phase)}")
            yield values

    def _enter(self, phase: Phase) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Begin the present epoch: what computes the loss, and what steps, at the epoch's rates."""
        seed_everything(*self._seeds())
        self.freezer.enter(phase)
        step, optimizers = self._loss_step(phase), self._optimizers_of(phase)
        for optimizer in optimizers:
            set_learning_rate(optimizer, self.spec.schedule, self.epoch + 1, len(self.stage.phases))
        return step, optimizers

    def _loss_step(self, phase: Phase) -> nn.Module:
        """What computes the loss of a batch; with several processes it averages their gradients."""
        # Not the generator that drops paths: what a block drops is drawn again where it is computed again.
        generator = seeded_generator(self.device, *self._seeds())
        options = (phase, self.label_loss, self.spec.denoise, self.dataset, self.world, generator)
        step = LossStep(self.model, *options)
        if self.world.size == 1:
            return step
        # Made anew in each phase: it looks at what is trained only once.
        return DistributedDataParallel(
            step,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            find_unused_parameters=phase.uses_labels and not self.label_loss.criterion.id_weight,
        )

    def _seeds(self) -> tuple[int, ...]:
        """What the next epoch's randomness is a function of."""
        # Processes drop other paths and draw other noise; a single one drops what it always dropped.
        ranks = [self.world.rank] if self.world.size > 1 else []
        return (self.spec.seed, self.number + 1, *ranks)

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

    def _bad_batch(
        self, reason: str, phase: Phase, iteration: int, losses: dict[str, float], batch: Batch
    ) -> BadBatchError:
        """The end of the run; all processes see the same mean loss, so all of them come here."""
        parts = self.world.gather_objects([str(path) for path in paths_of(self.loader, batch)])
        files = [file for part in parts for file in part]
        place = (phase.name, self.number + 1, iteration)
        return BadBatchError(BadBatch(reason, *place, losses, files, self._advice(phase)))

    def _advice(self, phase: Phase) -> str:
        """What to do where training has diverged."""
        remedy = f"lower {LEARNING_RATES[phase.name]}"
        if self.scaler.is_enabled():
            remedy += " or set SOLVER.AMP False"
        return f"{remedy}, in another OUTPUT_DIR: --resume would only come here again"

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
            "guard": self.guard.before,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` gave, on a CPU or a GPU alike."""
        self.epoch = state["epoch"] - self.first_epoch + 1
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.guard.before = dict(state["guard"])
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
    # Images a second stand among the figures, so tqdm's own batches a second are left out.
    form = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}, {remaining} left{postfix}]"
    silent, interval = not world.is_main, refresh_interval()
    return tqdm(total=total, bar_format=form, mininterval=interval, dynamic_ncols=True, disable=silent)

"""Label-free denoising without gradients: one pass over the training images, and the denoisers are solved."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from reid.data import Batch, iterate
from reid.denoise import Moments, gather_statistics, save_statistics
from reid.denoise.denoiser import denoisers_by_layer
from reid.denoise.recorder import Recorder
from reid.denoise.solve import solve_in_place
from reid.denoise.statistics import place_recorders, record
from reid.engine.distributed import ALONE, World
from reid.engine.pace import Pace
from reid.engine.phases import Phase
from reid.engine.side import knows_cameras_of, side_inputs
from reid.engine.trainer import Trainer
from reid.models import ReIDModel
from reid.utils import InputError, digest, write_atomically

FINITE = "start from weights whose features are finite"

logger = logging.getLogger(__name__)


class ClosedForm(Trainer):
    """A stage of one epoch that solves the denoisers: a pass over the images instead of steps.

    Its loader gives the images as a test sees them, each once and in order, those of this process; the rest
    is as in :class:`Trainer`.

    Args:
        statistics: The file to which the main process writes what the denoisers are solved from.
        arguments: Of :class:`Trainer`.
    """

    def __init__(self, statistics: Path, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.statistics = statistics
        self.recomputed: list[nn.Module] = []  # nothing has a gradient, so nothing is computed twice
        self.knows_cameras = knows_cameras_of(self.model.spec.side, self.dataset)
        self.rehearsed: dict[str, Recorder] = {}

    def _train_epoch(self, phase: Phase, bar: tqdm) -> dict[str, Any]:
        self.freezer.enter(phase)
        pace, images = Pace(self.device), sum(self.world.gather_objects(_count_images(self.loader)))
        found = gather(
            *(self.model, self.loader, self.device),
            knows_cameras=self.knows_cameras,
            world=self.world,
            bar=bar,
        )
        floor = mean(self.solve(found).values())
        if self.world.is_main:
            # Both are atomic; what a run that was killed here leaves is then named as its other files are.
            with write_atomically(self.statistics) as temporary:
                save_statistics(found, temporary, of=weights_key(self.model))
        speed = pace.figures(images)
        vectors = sum(moments.count for moments in found.values())
        logger.info(
            "closed form: %d images, %d vectors over %d layers, %.1f s, mean loss floor %.4f",
            *(images, vectors, len(found), speed["seconds"], floor),
        )
        names = {"stage": self.stage.name, "phase": phase.name, "epoch": self.number + 1}
        return {**names, "loss": floor, **speed}

    def solve(self, statistics: dict[str, Moments]) -> dict[str, float]:
        """Set the model's denoisers to the optimum; the floor of each layer's loss.

        Raises:
            InputError: If the rounding of the statistics is not small beside the noise.
        """
        with _refusing("DENOISE.BETA_START and DENOISE.T_RULE set the noise"):
            return solve_in_place(self.model, statistics)

    def rehearse(self, batches: Iterable[Batch], learns: bool = True) -> Iterator[dict[str, float]]:
        """Take given batches as most batches of the pass are taken; :meth:`finish_rehearsal` follows.

        Of a layer's vectors all count, or those that stand for all, as in the greater part of the pass.

        Yields:
            Nothing of each batch: there is no loss before the end.
        """
        self.freezer.enter(self.stage.phases[self.epoch])
        watched, self.rehearsed = place_recorders(self.model)
        for batch in batches:
            record(watched, self.rehearsed, _inputs(batch, self.device, self.knows_cameras))
            for recorder in self.rehearsed.values():
                if recorder.at_least:  # after the first batch, which counts whole
                    is_whole = 2 * recorder.at_least >= recorder.count * len(self.loader)
                    recorder.per_image = None if is_whole else recorder.per_image
                    recorder.at_least = 0
            yield {}

    def finish_rehearsal(self) -> None:
        """Solve the denoisers from what the rehearsal has seen.

        Raises:
            InputError: If a feature was not finite, or as :meth:`solve`.
        """
        with _refusing(FINITE):
            statistics = {name: recorder.moments() for name, recorder in self.rehearsed.items()}
        self.solve(statistics)

    def count_bytes(self) -> int:
        """Of the file of statistics, about."""
        widths = [len(denoiser.weight) for denoiser in denoisers_by_layer(self.model).values()]
        return sum(8 * (d + d * (d + 1) // 2) for d in widths)


def gather(
    model: ReIDModel,
    loader: DataLoader,
    device: torch.device,
    *,
    knows_cameras: bool = False,
    world: World = ALONE,
    bar: tqdm | None = None,
) -> dict[str, Moments]:
    """The statistics of a model's denoised layers over the images of all processes, the same on each.

    Args:
        model: With denoisers, on ``device``; left as it was.
        loader: The images of this process, each once; it may have none where there are several processes.
        device: Where the network runs.
        knows_cameras: Whether the model is given the images' cameras and views.
        world: The processes; each layer's moments are merged in the order of ranks.
        bar: Shows batches and images a second.

    Raises:
        InputError: If an image cannot be read or a feature is not finite.
    """
    pace, seen = Pace(device), 0

    def arguments() -> Iterator[tuple[Tensor | None, ...]]:
        nonlocal seen
        for batch in iterate(loader):
            yield _inputs(batch, device, knows_cameras)
            seen += len(batch.images) * world.size
            if bar is not None:
                speed = pace.figures(seen)["images_per_s"]
                bar.set_postfix({"images/s": f"{speed:.1f}"}, refresh=False)
                bar.update()

    with _refusing(FINITE):
        own = gather_statistics(model, arguments()) if len(loader) else {}
    merged = {}
    # Layer by layer: what all processes know of one layer must find room, not all of it at once.
    for name in denoisers_by_layer(model):
        parts = world.gather_objects(own.pop(name, None))
        merged[name] = reduce(Moments.merge, [part for part in parts if part is not None])
    return merged


def weights_key(model: ReIDModel) -> str:
    """A digest of the weights that the features come from, the same with denoisers and without.

    Statistics are of the network before its necks and classifiers. Fused weights are other weights.
    """
    parts = {"backbone": model.backbone, "reduction": model.reduction}
    weights = {
        f"{place}.{name}": value
        for place, part in parts.items()
        if part is not None
        for name, value in part.state_dict().items()
        if ".denoiser." not in f".{name}"
    }
    return digest(weights[name] for name in sorted(weights))


def _inputs(batch: Batch, device: torch.device, knows_cameras: bool) -> tuple[Tensor | None, ...]:
    """The model's arguments, on its device."""
    batch = Batch(*(column.to(device, non_blocking=True) for column in batch))
    return (batch.images, *side_inputs(batch, knows_cameras))


def _count_images(loader: DataLoader) -> int:
    return len(loader.dataset)  # type: ignore[arg-type]


@contextmanager
def _refusing(advice: str) -> Iterator[None]:
    """What no denoiser can be solved from is wrong input; ``advice`` ends its line."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{error}; {advice}") from error

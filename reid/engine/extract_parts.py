"""Features of a list of images, some thousand images at a time."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from reid.config import get_default_config
from reid.data import Batch
from reid.data.readable import ReadBatch, Unreadable, readable_loader
from reid.engine.build_data import num_workers
from reid.engine.image_list import ImageList
from reid.engine.parts import Part
from reid.engine.side import knows_cameras_of, table_of
from reid.evaluation import extract_features
from reid.models import Preprocessing, ReIDModel
from reid.utils import InputError, refresh_interval


@dataclass(frozen=True)
class ExtractSettings:
    """How features are extracted.

    Args:
        batch_size: Images a batch.
        flip: Whether a feature is the mean over an image and its mirror image.
        on_corrupt: Whether an image that cannot be read ends the work, or is left out and named.
        resume: Whether to go on from the finished parts of an interrupted extraction.
        part_size: Images a part, rounded up to whole batches; an interruption loses one part.
        num_workers: Processes that read images; None takes as many as the machine has cores, 8 at most.

    Raises:
        InputError: If there are no images in a batch or a part.
    """

    batch_size: int = 64
    flip: bool = False
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    resume: bool = False
    part_size: int = 4096
    num_workers: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.part_size < 1:
            raise InputError(f"a batch and a part need an image, got {self.batch_size} and {self.part_size}")

    @property
    def batches_per_part(self) -> int:
        """Whole batches that hold ``part_size`` images."""
        return -(-self.part_size // self.batch_size)


def make_parts(
    model: ReIDModel,
    preprocessing: Preprocessing,
    images: ImageList,
    device: torch.device,
    settings: ExtractSettings,
    num_done: int,
) -> Generator[Part, None, None]:
    """The parts behind the ``num_done`` first ones, in order; the images of the next are read meanwhile.

    Batches are those that they are where ``num_done`` is 0.

    Raises:
        InputError: If an image cannot be read and is not to be skipped, or a feature is not finite.
    """
    total, per_part = len(images.records), settings.batches_per_part
    first = min(num_done * per_part * settings.batch_size, total)
    workers = num_workers(get_default_config()) if settings.num_workers is None else settings.num_workers
    rest = images.records.select(np.arange(first, total))
    loader = readable_loader(rest, preprocessing, settings.batch_size, workers)
    batches, model = iter(loader), model.to(device)
    knows_cameras = knows_cameras_of(table_of(model.spec), images.name)
    with tqdm(
        total=total, initial=first, desc="features", unit=" images", mininterval=refresh_interval()
    ) as bar:
        for _ in range(0, len(loader), per_part):
            read = _Images(islice(batches, per_part), first, bar, settings.on_corrupt == "skip")
            feats = _features(model, iter(read), device, knows_cameras, settings.flip)
            yield Part(feats, np.array(read.rows, np.int64), read.unreadable)


class _Images:
    """The readable images of some batches, and what became of which.

    Args:
        batches: As the loader gives them.
        first: The row of all images at which the loader began.
        bar: Counts images.
        may_skip: Whether images may be unreadable.
    """

    def __init__(self, batches: Iterable[ReadBatch], first: int, bar: tqdm, may_skip: bool) -> None:
        self.batches, self.first, self.bar, self.may_skip = batches, first, bar, may_skip
        self.rows: list[int] = []
        self.unreadable: list[Unreadable] = []

    def __iter__(self) -> Iterator[Batch]:
        for batch, unreadable in self.batches:
            if unreadable and not self.may_skip:
                raise InputError(unreadable[0].reason)
            self.unreadable += [Unreadable(self.first + row, reason) for row, reason in unreadable]
            self.bar.update(len(unreadable))
            if batch is not None:
                self.rows += (self.first + batch.indices).tolist()
                yield batch
                self.bar.update(len(batch.indices))


def _features(
    model: ReIDModel, batches: Iterator[Batch], device: torch.device, knows_cameras: bool, flip: bool
) -> NDArray[np.float32]:
    """(R, D); without images (0, 0)."""
    head = next(batches, None)
    if head is None:
        return np.empty((0, 0), np.float32)
    found = extract_features(
        model, chain([head], batches), device, side_information=knows_cameras, flip=flip, progress=False
    )
    return found.feats.numpy()

"""Batches of the images that can be read, and the names of those that cannot."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from reid.data.image_dataset import Batch, ImageDataset, Transform
from reid.data.read_image import Decoder, ImageError
from reid.data.records import Records
from reid.utils import InputError


class Unreadable(NamedTuple):
    """An image that cannot be read: its row of the records, and in one line its file and why."""

    row: int
    reason: str


class ReadBatch(NamedTuple):
    """What became of the images of a batch; ``batch`` holds those that were read, None where none was."""

    batch: Batch | None
    unreadable: list[Unreadable]


class ReadableImages(Dataset["Batch | Unreadable"]):
    """An ``ImageDataset`` whose unreadable images are samples too, because only a worker knows them.

    Args:
        images: The data set to read.
    """

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch | Unreadable:
        """One sample of ``ImageDataset``, or why there is none."""
        try:
            return self.images[index]
        except ImageError as error:
            return Unreadable(index, str(error))


def readable_loader(
    records: Records,
    transform: Transform,
    batch_size: int,
    num_workers: int,
    decoder: Decoder = "pillow",
) -> DataLoader:
    """Every image once, in the records' order, as ``ReadBatch``es of up to ``batch_size`` records each.

    An image that cannot be read leaves its batch smaller and moves no other to another batch.

    Raises:
        InputError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1, got {batch_size}")
    return DataLoader(
        ReadableImages(ImageDataset(records, transform, decoder)),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=_join,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # nothing is drawn from the global one
    )


def _join(samples: Sequence[Batch | Unreadable]) -> ReadBatch:
    read = [sample for sample in samples if isinstance(sample, Batch)]
    unreadable = [sample for sample in samples if isinstance(sample, Unreadable)]
    return ReadBatch(default_collate(read) if read else None, unreadable)

"""Batches for training and for feature extraction; an epoch's batches do not depend on what ran before."""

import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from reid.data.image_cache import CachedImages
from reid.data.image_dataset import Batch, ImageDataset, Transform
from reid.data.labels import relabel
from reid.data.read_image import Decoder
from reid.data.records import Records
from reid.data.samplers import PKSampler, ShuffledSampler
from reid.data.transforms import SizedTransform
from reid.utils import InputError


class Draw(NamedTuple):
    """One place in an epoch: the row to read, and the numbers that fix its augmentation."""

    row: int
    seeds: tuple[int, int, int]


class SeededBatches(Sampler[list[Draw]]):
    """Gives every place in an epoch its own seeds: (seed, epoch, position).

    The seeds travel with the row, so a worker needs no state of its own, and an image drawn twice in an
    epoch is augmented in two ways. Several processes draw the same batches and take a part of each: together
    they see what one process sees, augmented as it would augment it.

    Args:
        batches: What is drawn.
        seed: Non-negative.
        part: Which equal part of each batch is read, and of how many; what does not divide is left out.
    """

    def __init__(
        self, batches: PKSampler | ShuffledSampler, seed: int, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.batches = batches
        self.seed = seed
        self.part = part

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on to the batches."""
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        """Batches an epoch, at most: a last one with fewer images than parts is not read."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Draw]]:
        position, (rank, parts) = 0, self.part
        for batch in self.batches:
            draws = [
                Draw(row, (self.seed, self.batches.epoch, position + offset))
                for offset, row in enumerate(batch)
            ]
            position += len(batch)
            share = len(batch) // parts
            if share:
                yield draws[rank * share : (rank + 1) * share]


class SeededImages(Dataset[Batch]):
    """Reads draws of an ``ImageDataset``, the random generators seeded for each.

    Args:
        images: The data set to read.
    """

    def __init__(self, images: ImageDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Batch:
        """One sample of ``ImageDataset``."""
        with seeded_generators(*draw.seeds):
            return self.images[draw.row]


@contextmanager
def seeded_generators(*numbers: int) -> Iterator[None]:
    """Seed Python's, numpy's and torch's CPU generators inside the block; give them their states back after.

    The accelerators' generators are left alone: they belong to the model.
    """
    words = np.random.SeedSequence(numbers).generate_state(3)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(int(words[0]))
            np.random.seed(int(words[1]))
            torch.default_generator.manual_seed(int(words[2]))
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def train_loader(
    records: Records,
    transform: Transform,
    num_ids: int,
    num_instances: int,
    seed: int,
    num_workers: int,
    cache_mb: int = 0,
    decoder: Decoder = "pillow",
    part: tuple[int, int] = (0, 1),
) -> DataLoader[Batch]:
    """Batches of P x K images whose ``pids`` are class labels 0..C-1, numbered as ``relabel`` does.

    Epoch 0 is drawn until ``set_epoch`` asks for another. Batches and augmentation are a pure function of
    (seed, epoch), whatever ran before and however many workers there are.

    Args:
        records: The images, each with a known identity.
        transform: Makes a tensor of an image, as ``train_transform`` does.
        num_ids: P, identities a batch, at least 2.
        num_instances: K, images of each identity.
        seed: Batches and augmentation are drawn from it.
        num_workers: Processes that read images; 0 reads in this one.
        cache_mb: Megabytes of resized images that are kept for the epochs after the first; they change no
            bit.
        decoder: ``pillow`` or ``opencv``, as of ``read_image``.
        part: Which of how many processes this one is: ``(0, 1)`` alone, as of ``SeededBatches``.

    Raises:
        InputError: If an identity is unknown, or ``PKSampler`` or ``ImageCache`` refuses.
        TypeError: If images are to be kept and the transform is no ``SizedTransform``.
    """
    labels, _ = relabel(records.pids)
    images = _images(replace(records, pids=labels), transform, cache_mb, decoder)
    batches = SeededBatches(PKSampler(labels, num_ids, num_instances, seed), seed, part)
    return _loader(
        SeededImages(images), num_workers, batch_sampler=batches, persistent_workers=num_workers > 0
    )


def shuffled_loader(
    records: Records,
    transform: Transform,
    batch_size: int,
    seed: int,
    num_workers: int,
    cache_mb: int = 0,
    decoder: Decoder = "pillow",
    part: tuple[int, int] = (0, 1),
) -> DataLoader[Batch]:
    """Every image once an epoch in random order, labels untouched, for training without them.

    As ``train_loader``, batches and augmentation are a pure function of (seed, epoch), with or without a
    cache.

    Args:
        records: The images.
        transform: Makes a tensor of an image, as ``train_transform`` does.
        batch_size: Images a batch, at least 1.
        seed: As of ``train_loader``.
        num_workers: As of ``train_loader``.
        cache_mb: As of ``train_loader``.
        decoder: As of ``train_loader``.
        part: As of ``train_loader``.

    Raises:
        InputError: If there are no images, the batch size is not positive, or ``ImageCache`` refuses.
        TypeError: If images are to be kept and the transform is no ``SizedTransform``.
    """
    batches = SeededBatches(ShuffledSampler(len(records), batch_size, seed), seed, part)
    images = _images(records, transform, cache_mb, decoder)
    return _loader(SeededImages(images), num_workers, batch_sampler=batches)


def plain_loader(
    records: Records,
    transform: Transform,
    batch_size: int,
    num_workers: int,
    decoder: Decoder = "pillow",
) -> DataLoader[Batch]:
    """Every image once, in the records' order, for feature extraction; the last batch may be smaller.

    Args:
        records: The images.
        transform: Makes a tensor of an image, as ``test_transform`` does.
        batch_size: Images a batch, at least 1.
        num_workers: Processes that read images; 0 reads in this one.
        decoder: ``pillow`` or ``opencv``, as of ``read_image``.

    Raises:
        InputError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1, got {batch_size}")
    return _loader(ImageDataset(records, transform, decoder), num_workers, batch_size=batch_size)


def set_epoch(loader: DataLoader[Batch], epoch: int) -> None:
    """Choose the epoch that the next iteration of a training loader draws.

    Raises:
        TypeError: If the loader was made by ``plain_loader``.
    """
    batches = loader.batch_sampler
    if not isinstance(batches, SeededBatches):
        raise TypeError(f"only a training loader has epochs, got one over {type(batches).__name__}")
    batches.set_epoch(epoch)


def paths_of(loader: DataLoader[Batch], batch: Batch) -> list[Path]:
    """The files of a batch's images, in its order.

    Raises:
        TypeError: If the loader reads anything but images.
    """
    images = loader.dataset.images if isinstance(loader.dataset, SeededImages) else loader.dataset
    if not isinstance(images, ImageDataset):
        raise TypeError(f"only loaders of images know files, got one over {type(images).__name__}")
    return [images.records.path(row) for row in batch.indices.tolist()]


def iterate(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """Yield the loader's batches; an ``InputError`` of a worker arrives as it was raised, in one line.

    Without this its message would be the text of the worker's traceback.
    """
    try:
        yield from loader
    except InputError as error:
        kind = type(error)
        # The frames hold the loader's iterator in a cycle; collected late, it waits 5 s for every worker.
        traceback.clear_frames(error.__traceback__)
        last_line = str(error).rstrip().rpartition("\n")[2]
        raise kind(last_line.removeprefix(f"{kind.__module__}.{kind.__qualname__}: ")) from None


def _images(records: Records, transform: Transform, cache_mb: int, decoder: Decoder) -> ImageDataset:
    if not cache_mb:
        return ImageDataset(records, transform, decoder)
    if not isinstance(transform, SizedTransform):
        raise TypeError(f"only what a SizedTransform resizes can be kept, got {type(transform).__name__}")
    return CachedImages(records, transform, cache_mb, decoder)


def _loader(images: Dataset[Batch], num_workers: int, **options: Any) -> DataLoader[Batch]:
    """A loader that draws nothing from the global generator."""
    return DataLoader(
        images,
        num_workers=num_workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
        **options,
    )

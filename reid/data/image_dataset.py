"""Records to tensors: the torch data set over images."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from reid.data.read_image import Decoder, read_image
from reid.data.records import Records

Transform = Callable[[Image.Image], Tensor]


class Batch(NamedTuple):
    """Images and what is known of them; one sample has the same fields without the first dimension.

    Args:
        images: (B, 3, H, W) float32, normalised.
        pids: (B,) int64 identities, or class labels in training.
        camids: (B,) int64 cameras; -1 unknown.
        indices: (B,) int64 rows of the records.
        viewids: (B,) int64 views; -1 unknown. Last, so that the places of the others are those they had.
    """

    images: Tensor
    pids: Tensor
    camids: Tensor
    indices: Tensor
    viewids: Tensor


class ImageDataset(Dataset[Batch]):
    """Decodes and transforms one record at a time; ``default_collate`` makes a ``Batch`` of the samples.

    Args:
        records: The images; their pids are passed on as they are.
        transform: From an RGB image to a (3, H, W) float32 tensor.
        decoder: As in ``read_image``.
    """

    def __init__(self, records: Records, transform: Transform, decoder: Decoder = "pillow") -> None:
        self.records = records
        self.decoder = decoder
        self.transform = transform

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Batch:
        """One sample: (3, H, W) and four scalars.

        Raises:
            ImageError: If the image cannot be read.
        """
        records = self.records
        numbers = (records.pids[index], records.camids[index], index, records.viewids[index])
        return Batch(self.image(index), *(torch.tensor(int(number)) for number in numbers))

    def image(self, index: int) -> Tensor:
        """The transformed image of one record: (3, H, W) float32 of the toolkit's own transforms.

        Raises:
            ImageError: If the image cannot be read.
        """
        return self.transform(read_image(self.records.path(index), self.decoder))

"""Resized images kept in memory, so that an epoch after the first neither decodes nor resizes them."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reid.data.image_dataset import ImageDataset
from reid.data.read_image import Decoder, read_image
from reid.data.records import Records
from reid.data.transforms import SizedTransform
from reid.utils import InputError

MEGABYTE = 1_000_000


class ImageCache:
    """The first images of a data set, resized, as bytes in memory that worker processes share.

    All of the memory is taken at once, at most ``megabytes`` of it whatever the number of workers, and given
    back with the last process that holds it. Where not every image fits, always the same ones do: an epoch
    shows each image once, so to replace the oldest would replace each just before it is wanted.

    Args:
        num_images: N, images of the data set.
        size: (H, W) of a resized image.
        megabytes: The most memory, in units of 1,000,000 bytes.

    Raises:
        InputError: If not even one image fits, or shared memory has less room.
    """

    def __init__(self, num_images: int, size: tuple[int, int], megabytes: int) -> None:
        bytes_per_image = 3 * size[0] * size[1] + 1  # the pixels, and whether they are there
        slots = min(num_images, megabytes * MEGABYTE // bytes_per_image)
        if slots < 1:
            raise InputError(
                f"a cache must hold at least one image of {size[0]}x{size[1]}, {bytes_per_image:,} bytes, "
                f"got {megabytes} MB for {num_images} images; use a larger cache or none"
            )
        try:
            # Torch's shared memory: workers that are forked and workers that are spawned both see it.
            self.pixels = torch.empty((slots, *size, 3), dtype=torch.uint8).share_memory_()
            self.is_filled = torch.zeros(slots, dtype=torch.bool).share_memory_()
        except RuntimeError as error:
            raise InputError(
                f"a cache of {megabytes} MB must fit into shared memory, it does not: "
                f"{' '.join(str(error).split())}; use a smaller cache"
            ) from error

    def get(self, row: int) -> Image.Image | None:
        """A copy of the resized image of ``row``; None where it is not kept."""
        if row >= len(self.pixels) or not self.is_filled[row]:
            return None
        return Image.fromarray(self.pixels[row].numpy())

    def put(self, row: int, image: Image.Image) -> None:
        """Keep the resized image of ``row`` where there is room for it.

        Two processes may put one row at a time: they put the same bytes.
        """
        if row < len(self.pixels):
            self.pixels[row].numpy()[:] = np.asarray(image)
            self.is_filled[row] = True


class CachedImages(ImageDataset):
    """An ``ImageDataset`` that keeps resized images; its samples are the same to the bit.

    Args:
        records: The images; their pids are passed on as they are.
        transform: Its resize is what is kept.
        megabytes: The most memory, in units of 1,000,000 bytes.
        decoder: As in ``read_image``.

    Raises:
        InputError: As ``ImageCache``.
    """

    def __init__(
        self, records: Records, transform: SizedTransform, megabytes: int, decoder: Decoder = "pillow"
    ) -> None:
        super().__init__(records, transform, decoder)
        self.sized = transform
        self.cache = ImageCache(len(records), transform.size, megabytes)

    def image(self, index: int) -> Tensor:
        """The transformed image of one record.

        Raises:
            ImageError: If the image is not kept and cannot be read.
        """
        resized = self.cache.get(index)
        if resized is None:
            resized = self.sized.resize(read_image(self.records.path(index), self.decoder))
            self.cache.put(index, resized)
        return self.sized.finish(resized)

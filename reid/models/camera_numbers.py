"""Cameras and views come as numbers: one an image, and a table knows some of them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.utils import InputError

Numbers = Tensor | NDArray[np.integer] | Sequence[int]


def as_numbers(name: str, numbers: Numbers | None, images: Tensor) -> Tensor | None:
    """Numbers of a list, an array or a tensor as a tensor (B,) int64 beside the images (B, ...); None stays.

    Raises:
        InputError: If there is not one whole number for each image.
    """
    if numbers is None:
        return None
    if not isinstance(numbers, Tensor):
        try:
            array = np.asarray(numbers)
        except (TypeError, ValueError):  # a ragged list
            array = np.asarray(None)
        # A list of more than 2**63 - 1 becomes unsigned or floating; neither is a camera.
        is_whole = array.dtype.kind in "iu" and array.dtype != np.uint64
        if not is_whole or array.shape != (len(images),):
            raise InputError(
                f"{name} must be {len(images)} whole numbers, one an image, got {array.shape} of"
                f" {array.dtype}"
            )
        numbers = torch.from_numpy(array.astype(np.int64))
    check_numbers(name, numbers, len(images))
    return numbers.to(images.device)


def check_numbers(name: str, numbers: Tensor, count: int) -> None:
    """Refuse what would be broadcast or rounded to other cameras than were meant.

    Raises:
        InputError: If ``numbers`` are not (count,) whole numbers.
    """
    if numbers.shape != (count,) or numbers.dtype not in (torch.int64, torch.int32):
        raise InputError(
            f"{name} must be {count} whole numbers, one an image, got {tuple(numbers.shape)} of"
            f" {numbers.dtype}"
        )


def places_of(known: Tensor, count: int, numbers: Tensor | None) -> Tensor | int:
    """(B,) the place of each number in ``known``, or ``count``, the mean's place, where it is not there.

    A table that does not tell these numbers apart has one place, and its mean is that place.
    """
    if numbers is None or len(known) == 0:
        return count
    matches = numbers[:, None] == known  # (B, C)
    return torch.where(matches.any(1), matches.int().argmax(1), count)

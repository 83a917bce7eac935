"""Cameras and views come as numbers: one an image, and a table knows some of them."""

import torch
from torch import Tensor

from reid.utils import InputError


def check_numbers(name: str, numbers: Tensor, count: int) -> None:
    """Refuse what would be broadcast or rounded to other cameras than were meant."""
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

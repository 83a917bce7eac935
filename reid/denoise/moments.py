"""Count, mean and scatter of a set of feature vectors, and of two sets together."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """The first two moments of a set of feature vectors, on the CPU in float64.

    Args:
        count: Number of vectors n, in 1..2**63 - 1.
        mean: (d,) their mean mu.
        scatter: (d, d) sum of (x - mu)(x - mu)^T over them.

    Raises:
        ValueError: If there are no vectors, their number is no whole one, the shapes disagree, the numbers
            are no float64 or a value is not finite.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    def __post_init__(self) -> None:
        # bool is a whole number to isinstance; and what is larger has no place in a float64.
        if type(self.count) is not int or not 1 <= self.count < 2**63:
            raise ValueError(
                f"moments need a count that is a whole number in 1..2**63 - 1, got {reprlib.repr(self.count)}"
            )
        if self.mean.dtype != torch.float64 or self.scatter.dtype != torch.float64:
            raise ValueError(f"moments must be float64, got {self.mean.dtype} and {self.scatter.dtype}")
        if self.mean.ndim != 1 or self.scatter.shape != 2 * self.mean.shape:
            raise ValueError(
                "moments need mean (d,) and scatter (d, d),"
                f" got {tuple(self.mean.shape)} and {tuple(self.scatter.shape)}"
            )
        if not (self.mean.isfinite().all() and self.scatter.isfinite().all()):
            raise ValueError("moments must be finite; the features are not")

    @property
    def covariance(self) -> Tensor:
        """(d, d) S = scatter / count."""
        return self.scatter / self.count

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together, exact up to rounding in float64.

        Source: Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983.

        Raises:
            ValueError: If the widths differ.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"widths must agree, got {len(self.mean)} and {len(other.mean)}")
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(apart, apart) * (self.count * share)
        return Moments(count, self.mean + apart * share, scatter)


def merge_statistics(first: Mapping[str, Moments], second: Mapping[str, Moments]) -> dict[str, Moments]:
    """The statistics of two sets of images together, exact up to rounding in float64.

    Raises:
        ValueError: If they are of different layers.
    """
    if first.keys() != second.keys():
        other = sorted(first.keys() ^ second.keys())
        raise ValueError(f"statistics of the same layers are needed, only one side has {', '.join(other)}")
    return {name: moments.merge(second[name]) for name, moments in first.items()}

"""Embeddings at one scale: each divided by its own length, or all by one."""

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

CHUNK = 16384  # rows that are held in float64 at a time
Features = NDArray[np.float32]


def normalise(features: Features) -> Features:
    """Scale rows to unit length, as a new float32 array.

    Raises:
        InputError: If a row is zero or not finite.
    """
    return scale(features, None)


def scale(features: Features, length: float | None, first_row: int = 0) -> Features:
    """Divide rows by one length, or with None each by its own, as a new float32 array.

    Args:
        features: (N, D).
        length: Above 0, or None.
        first_row: What messages call the first row.

    Raises:
        InputError: If there is no row or no column, or a row is zero or not finite.
    """
    if features.ndim != 2 or features.size == 0:
        raise InputError(f"features must be (N, D), N and D at least 1, got {features.shape}; give images")
    with np.errstate(over="ignore"):  # infinity is refused below
        scaled = np.array(features, np.float32)
    for start in range(0, len(scaled), CHUNK):
        rows = scaled[start : start + CHUNK]
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        unusable = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
        if len(unusable):
            first, last = first_row + start, first_row + start + len(rows) - 1
            raise InputError(
                f"features must be finite and not zero, row {first + unusable[0]} is not ({len(unusable)} of"
                f" rows {first} to {last}); leave such images out"
            )
        rows /= lengths if length is None else length
    return scaled


def common_length(features: Features) -> float:
    """Root of the mean squared length."""
    total = sum(
        float(np.square(features[start : start + CHUNK], dtype=np.float64).sum())
        for start in range(0, len(features), CHUNK)
    )
    return (total / len(features)) ** 0.5

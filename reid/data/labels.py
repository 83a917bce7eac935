"""Identities to class labels."""

import numpy as np
from numpy.typing import NDArray

from reid.data.records import UNKNOWN
from reid.utils import InputError


def relabel(pids: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Number the identities 0..C-1 in sorted order.

    Args:
        pids: (N,) identities of any non-negative numbers.

    Returns:
        (N,) int64 labels, and the number of classes C.

    Raises:
        InputError: If an identity is unknown (-1).

    Example:
        >>> relabel(np.array([7, 2, 7]))
        (array([1, 0, 1]), 2)
    """
    unknown = int(np.count_nonzero(pids == UNKNOWN))
    if unknown:
        raise InputError(
            f"training needs the identity of every image, {unknown} of {len(pids)} have none (-1); "
            f"fill in their pid or leave them out"
        )
    classes, labels = np.unique(pids, return_inverse=True)
    return labels.astype(np.int64), len(classes)

"""Pairs from tracklets: images that a tracker followed from frame to frame show one identity."""

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

MOST_PAIRS = 16  # of a tracklet, so that a long one does not outweigh the others


def tracklet_pairs(tracklets: NDArray[np.int64], most: int = MOST_PAIRS) -> NDArray[np.int64]:
    """Pair images of one tracklet that are half of it apart, in the order of the rows.

    Neighbouring frames differ in little but the sensor's noise; far ones in pose, light and cut-out. A
    tracklet of m images gives the pairs (i, i + ceil(m / 2)), at most ``most`` of them, spread over it.

    Args:
        tracklets: (N,) numbers, -1 for an image of none; rows of one tracklet in the order of time.
        most: Pairs of a tracklet, at least 1.

    Returns:
        (P, 2) int64 rows, i < j, sorted.

    Raises:
        InputError: If no tracklet has two images.
    """
    order = np.argsort(tracklets, kind="stable")
    order = order[tracklets[order] >= 0]
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(tracklets[order])) + 1):
        apart = -(-len(rows) // 2)
        first = np.arange(len(rows) - apart)  # empty where there is one image
        if len(first) > most:
            first = first[np.linspace(0, len(first) - 1, most).round().astype(np.int64)]
        found.append(np.stack([rows[first], rows[first + apart]], axis=1))
    pairs = np.concatenate(found) if found else np.empty((0, 2), np.int64)
    if len(pairs) == 0:
        raise InputError(
            "no tracklet has two images: the pid column must number the tracklets (-1 for none); give it, or"
            " pair neighbours instead"
        )
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]

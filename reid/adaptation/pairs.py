"""Pairs of images that probably show one identity, found without labels: mutual nearest neighbours."""

import itertools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.search import ExactSearch, ListSearch
from reid.utils import InputError, progress_bar

MOST_NEIGHBOURS = 100  # memory grows with it, and distant images show others
MOST_EXACT = 100_000  # images that are all compared; the time grows with their square
BLOCK = 16384  # images whose neighbours are sought at a time
Features = NDArray[np.float32]
Indices = NDArray[np.int64]


def cross_camera_pairs(features: Features, camids: Indices, k: int = 2, *, progress: bool = False) -> Indices:
    """Pair images of different cameras that are among each other's nearest.

    (i, j) is a pair where j is among the k images nearest to i that other cameras took, and i among the k
    nearest to j. Distances are Euclidean. Up to 100,000 images are compared exactly; of more, those in the
    nearest lists of an index (:class:`reid.adaptation.search.ListSearch`), which finds most of the neighbours
    in little memory: 1,000,000 images of 512 numbers need 5 GB, their features included.

    Args:
        features: (N, D) float32, finite.
        camids: (N,) cameras.
        k: Neighbours an image may be paired with, at least 1.
        progress: Whether to show a bar.

    Returns:
        (P, 2) int64 rows of ``features``, i < j, sorted; empty where all images are of one camera.

    Raises:
        InputError: If faiss is not installed, k is below 1, or lengths differ.
    """
    return _mutual(cross_camera_neighbours(features, camids, k, progress=progress)[1])


def cross_camera_neighbours(
    features: Features, camids: Indices, k: int, *, progress: bool = False
) -> tuple[NDArray[np.float32], Indices]:
    """The k images nearest to each image among those that other cameras took.

    Args:
        features: (N, D) float32, finite.
        camids: (N,) cameras.
        k: At least 1.
        progress: Whether to show a bar.

    Returns:
        (N, k) squared Euclidean distances, nearest first, infinity where other cameras took fewer images; and
        (N, k) rows, -1 there.

    Raises:
        InputError: As :func:`cross_camera_pairs`.
    """
    _check(features, k)
    if len(camids) != len(features):
        raise InputError(f"each of the {len(features)} images needs a camera, got {len(camids)} cameras")
    order = np.argsort(camids, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(camids[order]) != 0, True])
    return _outside(features, order, itertools.pairwise(starts.tolist()), k, progress=progress)


def _outside(
    features: Features,
    order: Indices,
    ranges: Iterable[tuple[int, int]],
    k: int,
    *,
    own: bool = False,
    progress: bool = False,
) -> tuple[NDArray[np.float32], Indices]:
    """The k nearest rows of each row, those of its own range left out unless ``own``, a block at a time."""
    search = ExactSearch(features, order) if len(order) <= MOST_EXACT else ListSearch(features, order)
    distances, indices = np.empty((len(order), k), np.float32), np.empty((len(order), k), np.int64)
    named = np.append(order, -1)  # -1 stays -1
    with progress_bar(len(order), "pairs", "image", show=progress) as bar:
        for start, end in ranges:
            left_out = (0, 0) if own else (start, end)
            for first in range(start, end, BLOCK):
                rows = slice(first, min(first + BLOCK, end))
                found, places = search.outside(rows, *left_out, k)
                distances[order[rows]], indices[order[rows]] = found, named[places]
                bar.update(rows.stop - rows.start)
    return distances, indices


def mutual_pairs(features: Features, k: int = 2, *, progress: bool = False) -> Indices:
    """Pair images that are among each other's k nearest, whatever camera took them.

    For images without camera numbers. Many pairs are then frames of one camera that differ little, which says
    less about the noise between cameras.

    Args:
        features: (N, D) float32, finite.
        k: Neighbours an image may be paired with, at least 1.
        progress: Whether to show a bar.

    Returns:
        (P, 2) int64, as :func:`cross_camera_pairs`.

    Raises:
        InputError: If faiss is not installed or k is below 1.
    """
    _check(features, k)
    order = np.arange(len(features))
    _, indices = _outside(features, order, [(0, len(order))], k + 1, own=True, progress=progress)
    # An image is its own nearest, but a copy of it may stand first.
    is_self = indices == order[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    return _mutual(indices[~is_self].reshape(len(order), k))


def _check(features: Features, k: int) -> None:
    if not isinstance(k, int | np.integer) or not 1 <= k <= MOST_NEIGHBOURS:
        raise InputError(f"pairs need 1 to {MOST_NEIGHBOURS} neighbours an image, got k = {k}; 2 is usual")
    if features.ndim != 2:
        raise InputError(f"features must be (N, D), got shape {features.shape}")
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise InputError(f"features must be finite, row {row} is not; leave such images out")


def _mutual(neighbours: Indices) -> Indices:
    """Keep the links i -> j that have a link j -> i."""
    count, k = neighbours.shape
    heads = np.repeat(np.arange(count), k)[neighbours.ravel() >= 0]
    tails = neighbours.ravel()[neighbours.ravel() >= 0]
    both = np.intersect1d(heads * count + tails, tails * count + heads, assume_unique=True)
    pairs = np.stack([both // count, both % count], axis=1)
    return pairs[pairs[:, 0] < pairs[:, 1]].astype(np.int64)

"""Pairs of images that probably show one identity, found without labels: mutual nearest neighbours."""

import itertools

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

MOST_NEIGHBOURS = 100  # memory grows with it, and distant images show others
Features = NDArray[np.float32]
Indices = NDArray[np.int64]


def cross_camera_pairs(features: Features, camids: Indices, k: int = 2) -> Indices:
    """Pair images of different cameras that are among each other's nearest.

    (i, j) is a pair where j is among the k images nearest to i that other cameras took, and i among the k
    nearest to j. Distances are Euclidean. The images of one camera are compared with those of all others in
    place, so beside one sorted copy of the features memory grows with N k only.

    Args:
        features: (N, D) float32, finite.
        camids: (N,) cameras.
        k: Neighbours an image may be paired with, at least 1.

    Returns:
        (P, 2) int64 rows of ``features``, i < j, sorted; empty where all images are of one camera.

    Raises:
        InputError: If faiss is not installed, k is below 1, or lengths differ.
    """
    return _mutual(cross_camera_neighbours(features, camids, k)[1])


def cross_camera_neighbours(
    features: Features, camids: Indices, k: int
) -> tuple[NDArray[np.float32], Indices]:
    """The k images nearest to each image among those that other cameras took.

    Args:
        features: (N, D) float32, finite.
        camids: (N,) cameras.
        k: At least 1.

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
    rows = np.ascontiguousarray(features[order])
    starts = np.flatnonzero(np.r_[True, np.diff(camids[order]) != 0, True])
    distances, indices = np.empty((len(rows), k), np.float32), np.empty((len(rows), k), np.int64)
    for start, end in itertools.pairwise(starts):
        # What other cameras took lies before and behind this camera's rows.
        before = _nearest(rows[start:end], rows[:start], k)
        behind = _nearest(rows[start:end], rows[end:], k)
        both = np.hstack([before[0], behind[0]])
        found = np.hstack([before[1], np.where(behind[1] < 0, -1, behind[1] + end)])
        best = np.argsort(both, axis=1, kind="stable")[:, :k]
        distances[order[start:end]] = np.take_along_axis(both, best, axis=1)
        named = np.append(order, -1)[np.take_along_axis(found, best, axis=1)]  # -1 stays -1
        indices[order[start:end]] = named
    return distances, indices


def mutual_pairs(features: Features, k: int = 2) -> Indices:
    """Pair images that are among each other's k nearest, whatever camera took them.

    For images without camera numbers. Many pairs are then frames of one camera that differ little, which says
    less about the noise between cameras.

    Args:
        features: (N, D) float32, finite.
        k: Neighbours an image may be paired with, at least 1.

    Returns:
        (P, 2) int64, as :func:`cross_camera_pairs`.

    Raises:
        InputError: If faiss is not installed or k is below 1.
    """
    _check(features, k)
    rows = np.ascontiguousarray(features)
    _, indices = _nearest(rows, rows, k + 1)
    # An image is its own nearest, but a copy of it may stand first.
    is_self = indices == np.arange(len(rows))[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    return _mutual(indices[~is_self].reshape(len(rows), k))


def _check(features: Features, k: int) -> None:
    if not 1 <= k <= MOST_NEIGHBOURS:
        raise InputError(f"pairs need 1 to {MOST_NEIGHBOURS} neighbours an image, got k = {k}")
    if features.ndim != 2 or not np.isfinite(features).all():
        raise InputError(f"features must be finite and of shape (N, D), got shape {features.shape} or NaN")


def _nearest(queries: Features, gallery: Features, k: int) -> tuple[NDArray[np.float32], Indices]:
    """Distances and rows (B, k), nearest first; infinity and -1 where the gallery holds fewer."""
    if len(gallery) == 0:
        return np.full((len(queries), k), np.inf, np.float32), np.full((len(queries), k), -1)
    try:
        import faiss
    except ImportError as error:
        raise InputError("finding pairs needs faiss: pip install faiss-gpu (or faiss-cpu)") from error
    distances, indices = faiss.knn(queries, gallery, min(k, len(gallery)))
    missing = ((0, 0), (0, k - indices.shape[1]))
    return (
        np.pad(distances, missing, constant_values=np.inf),
        np.pad(indices, missing, constant_values=-1),
    )


def _mutual(neighbours: Indices) -> Indices:
    """Keep the links i -> j that have a link j -> i."""
    count, k = neighbours.shape
    heads = np.repeat(np.arange(count), k)[neighbours.ravel() >= 0]
    tails = neighbours.ravel()[neighbours.ravel() >= 0]
    both = np.intersect1d(heads * count + tails, tails * count + heads, assume_unique=True)
    pairs = np.stack([both // count, both % count], axis=1)
    return pairs[pairs[:, 0] < pairs[:, 1]].astype(np.int64)

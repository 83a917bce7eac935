"""Nearest images outside a range of rows, by faiss: exactly, or in the nearest lists of an index."""

from math import isqrt
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

SEED = 0
TRAINED_BY = 40  # rows a list that place its centre
PROBED = 32  # lists that are searched for an image
ADDED = 65_536  # rows that are given to faiss at a time

Found = tuple[NDArray[np.float32], NDArray[np.int64]]


class ExactSearch:
    """Compare with every row, in the given order.

    Args:
        features: (N, D) float32.
        order: (N,) the rows in the order that places below are of.

    Raises:
        InputError: If faiss is not installed.
    """

    def __init__(self, features: NDArray[np.float32], order: NDArray[np.int64]) -> None:
        self._faiss = _import_faiss()
        self._rows = np.ascontiguousarray(features[order], np.float32)

    def outside(self, queries: slice, start: int, end: int, k: int) -> Found:
        """The k nearest of each query that do not lie in ``start:end``.

        Args:
            queries: Places of B rows.
            start: First place that is left out.
            end: The place behind the last.
            k: At least 1.

        Returns:
            (B, k) squared distances, nearest first, infinity where there are fewer; and (B, k) places, -1
            there.
        """
        rows = self._rows[queries]
        # What is sought lies before and behind the range; nothing is copied.
        before = self._nearest(rows, self._rows[:start], k)
        behind = self._nearest(rows, self._rows[end:], k)
        distances = np.hstack([before[0], behind[0]])
        places = np.hstack([before[1], np.where(behind[1] < 0, -1, behind[1] + end)])
        best = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(distances, best, axis=1), np.take_along_axis(places, best, axis=1)

    def _nearest(self, queries: NDArray[np.float32], gallery: NDArray[np.float32], k: int) -> Found:
        if len(gallery) == 0:
            return np.full((len(queries), k), np.inf, np.float32), np.full((len(queries), k), -1)
        distances, places = self._faiss.knn(queries, gallery, min(k, len(gallery)))
        missing = ((0, 0), (0, k - places.shape[1]))
        return (
            np.pad(distances, missing, constant_values=np.inf),
            np.pad(places, missing, constant_values=-1),
        )


class ListSearch:
    """Look in the nearest of 4 sqrt(N) lists around k-means centres; a neighbour in another list is missed.

    The index holds a copy of the rows in half precision, and the rows are never copied in another order.

    Args:
        features: (N, D) float32.
        order: (N,) the rows in the order that places below are of.

    Raises:
        InputError: If faiss is not installed.
    """

    def __init__(self, features: NDArray[np.float32], order: NDArray[np.int64]) -> None:
        self._faiss = faiss = _import_faiss()
        self._features, self._order = features, order
        lists, width = 4 * isqrt(len(order)), features.shape[1]
        self._index = faiss.index_factory(width, f"IVF{lists},SQfp16")
        self._index.cp.seed, self._index.cp.niter = SEED, 10
        sample = np.random.default_rng(SEED).permutation(order)[: TRAINED_BY * lists]
        self._index.train(np.ascontiguousarray(features[sample], np.float32))
        for first in range(0, len(order), ADDED):
            self._index.add(np.ascontiguousarray(features[order[first : first + ADDED]], np.float32))

    def outside(self, queries: slice, start: int, end: int, k: int) -> Found:
        """As :meth:`ExactSearch.outside`, of the lists that are searched."""
        faiss = self._faiss
        left_out = faiss.IDSelectorNot(faiss.IDSelectorRange(start, end))
        options = faiss.SearchParametersIVF(sel=left_out, nprobe=PROBED)
        rows = np.ascontiguousarray(self._features[self._order[queries]], np.float32)
        distances, places = self._index.search(rows, k, params=options)
        return np.where(places < 0, np.inf, distances).astype(np.float32), places


def _import_faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise InputError("finding pairs needs faiss: pip install faiss-gpu (or faiss-cpu)") from error
    return faiss

"""faiss's approximate indexes: part of the gallery is looked at, and some of the nearest may be missed.

Metrics never come from here: they rank the whole gallery.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from types import ModuleType

import torch
from torch import Tensor

from reid.evaluation.faiss_flat import faiss_metric, import_faiss
from reid.evaluation.similarity import in_stable_order

logger = logging.getLogger(__name__)

SEED = 0
TRAINED_BY = 39  # rows a list at least, below which faiss calls its centre badly placed
TRAINED_FROM = 64  # rows a list at most: more move the centres little
PROBED = 8  # one list of so many is looked at
PROBED_AT_LEAST = 8
LINKS = 32  # of a row in the graph
BUILD_WIDTH = 80  # candidates kept while a row is linked
SEARCH_WIDTH = 128  # candidates kept while the graph is searched, at least
ADDED = 1 << 16  # rows given to faiss at a time


class ApproximateIndex:
    """A gallery of G rows in lists around centres (``ivf``), or as a graph of neighbours (``hnsw``).

        ivf    sqrt(G) lists, by k-means on 64 rows a list; the max(8, lists / 8) nearest lists are searched
        hnsw   a graph of 32 links a row; searched with max(128, 2 k) candidates

    The same gallery gives the same index: seeds are fixed, and the graph is built by one thread, because the
    order in which threads link rows changes it. Both are on the CPU and hold a copy of the gallery. A graph
    is for a gallery that is searched often: building it takes as long as many thousands of exact searches.

    Args:
        gallery: (G, D) from ``prepare_features``.
        metric: The metric they were prepared for.
        kind: ``ivf`` or ``hnsw``.

    Raises:
        InputError: If faiss is not installed.
    """

    def __init__(self, gallery: Tensor, metric: str, kind: str) -> None:
        faiss = import_faiss()
        gallery = gallery.cpu()
        self._faiss, self._metric, self._kind = faiss, metric, kind
        width, number = gallery.shape[1], faiss_metric(faiss, metric)
        if kind == "ivf":
            lists = isqrt(len(gallery))
            self._index = faiss.index_factory(width, f"IVF{lists},Flat", number)
            self._index.cp.seed = SEED
            self._index.nprobe = min(lists, max(PROBED_AT_LEAST, lists // PROBED))
            self._index.train(_sample(gallery, lists * TRAINED_FROM).numpy())
            self._add(gallery)
        else:
            self._index = faiss.index_factory(width, f"HNSW{LINKS},Flat", number)
            self._index.hnsw.efConstruction = BUILD_WIDTH
            with _one_thread(faiss):
                self._add(gallery)

    def nearest(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """About the ``k`` nearest rows of each query, nearest first, equal ones in gallery order.

        Args:
            query: (Q, D) from ``prepare_features``.
            k: At most G.

        Returns:
            (Q, k) float32 cosine or minus the squared distance, and (Q, k) int64 rows, both on the CPU; -inf
            and -1 behind the last where fewer were found.
        """
        if self._kind == "hnsw":
            self._index.hnsw.efSearch = max(SEARCH_WIDTH, 2 * k)
        distances, rows = self._index.search(query.cpu().contiguous().numpy(), k)
        scores, indices = torch.from_numpy(distances), torch.from_numpy(rows)
        if self._metric == "euclidean":
            scores.neg_()
        return in_stable_order(scores.masked_fill_(indices < 0, -torch.inf), indices)

    def _add(self, gallery: Tensor) -> None:
        for rows in gallery.split(ADDED):
            self._index.add(rows.contiguous().numpy())


def usable_index(kind: str, num_gallery: int) -> str:
    """``flat`` where a gallery is too small for ``ivf``: sqrt(G) lists need 39 rows each; else ``kind``."""
    if kind == "ivf" and num_gallery < TRAINED_BY**2:
        logger.info("%d gallery images are too few for an ivf index; searching exactly", num_gallery)
        return "flat"
    return kind


def _sample(gallery: Tensor, count: int) -> Tensor:
    if count >= len(gallery):
        return gallery.contiguous()
    order = torch.randperm(len(gallery), generator=torch.Generator().manual_seed(SEED))
    return gallery[order[:count]]


@contextmanager
def _one_thread(faiss: ModuleType) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

"""faiss's flat search: the k nearest rows by all products, on GPUs where asked for, else on the CPU."""

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.utils import InputError

logger = logging.getLogger(__name__)

# What faiss raises where its CUDA fails, where it was built without it, and where memory runs out.
GPU_FAULTS = (RuntimeError, AttributeError, MemoryError)
Found = tuple[NDArray[np.float32], NDArray[np.int64]]


class FlatIndex:
    """A gallery that faiss compares with queries row by row.

    ``cuda`` takes all GPUs that faiss sees, each holding a share of the gallery; ``cuda:1`` takes that one. A
    GPU that fails, now or in a later search, is warned of, and the CPU takes over.

    Args:
        gallery: (G, D) from ``prepare_features``; on the CPU it is not copied.
        metric: The metric they were prepared for.
        device: Where to search.

    Raises:
        InputError: If faiss is not installed.
    """

    def __init__(self, gallery: Tensor, metric: str, device: str | torch.device) -> None:
        self._faiss = import_faiss()
        self._gallery = gallery.cpu().contiguous().numpy()
        self._metric = metric
        self._device = torch.device(device)
        self._on_gpus = self._unless_it_fails(self._load) if self._device.type == "cuda" else None

    def nearest(self, query: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The ``k`` nearest rows of each query, nearest first, equal ones in no order.

        Args:
            query: (Q, D) from ``prepare_features``.
            k: At most G; GPUs know no more than 2,048, so the CPU takes over beyond.

        Returns:
            (Q, k) float32 cosine or minus the squared distance, as faiss rounds them: two rows that are the
            same may differ in the last bits. (Q, k) int64 rows. Both on the CPU.
        """
        rows = query.cpu().contiguous().numpy()
        found = None
        if self._on_gpus is not None:
            on_gpus = self._on_gpus
            found = self._unless_it_fails(lambda: on_gpus.search(rows, k))
            if found is None:
                self._on_gpus = None
        scores, indices = found or self._search_on_cpu(rows, k)
        return torch.from_numpy(scores if self._metric == "cosine" else -scores), torch.from_numpy(indices)

    def _search_on_cpu(self, rows: NDArray[np.float32], k: int) -> Found:
        """Without an index: it would hold a copy of the gallery."""
        return self._faiss.knn(rows, self._gallery, k, metric=faiss_metric(self._faiss, self._metric))

    def _load(self) -> Any:
        """The gallery on the GPUs; None where faiss sees none."""
        faiss, count = self._faiss, self._faiss.get_num_gpus()
        if count == 0:
            logger.info("faiss sees no GPU; searching on the CPU")
            return None
        wanted = self._device.index
        if wanted is not None and wanted >= count:
            raise RuntimeError(f"faiss sees {count} GPUs, numbered from 0")
        options = faiss.GpuMultipleClonerOptions()
        options.shard = True
        empty = faiss.IndexFlat(self._gallery.shape[1], faiss_metric(faiss, self._metric))
        numbers = list(range(count)) if wanted is None else [wanted]
        # Filled on the GPUs: a filled index on the CPU would be a second gallery in memory.
        on_gpus = faiss.index_cpu_to_gpus_list(empty, co=options, gpus=numbers)
        on_gpus.add(self._gallery)
        return on_gpus

    def _unless_it_fails(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except GPU_FAULTS as fault:
            words = " ".join(str(fault).split()) or type(fault).__name__
            logger.warning("faiss failed on %s (%s); searching on the CPU", self._device, words)
            return None


def faiss_metric(faiss: ModuleType, metric: str) -> int:
    """Look up faiss's number of ``cosine`` or ``euclidean``."""
    return faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2


def import_faiss() -> ModuleType:
    """Import faiss.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import faiss
    except ImportError as fault:
        raise InputError(
            f"searching needs faiss, but importing it failed ({fault}); "
            "pip install faiss-gpu on Linux, pip install faiss-cpu elsewhere"
        ) from fault
    return faiss

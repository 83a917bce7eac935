"""The k nearest gallery images of each query, by faiss; needs faiss only when called.

Metrics do not come from here: they rank the whole gallery.
"""

import logging
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.data.records import UNKNOWN
from reid.evaluation.relevance import IdentityIndex, Labels, as_labels, relevance
from reid.evaluation.similarity import in_stable_order, prepare_features, similarity, stable_top
from reid.utils import InputError

logger = logging.getLogger(__name__)

CHUNK = 256  # queries compared with the whole gallery at a time


def search(
    query: Tensor, gallery: Tensor, k: int, *, metric: str = "cosine", device: str | torch.device = "cpu"
) -> tuple[Tensor, Tensor]:
    """Find the ``k`` nearest gallery rows of each query row, exactly, with a flat faiss index.

    Rows with equal scores come in gallery order. Where the k-th and the next score are equal, faiss may
    keep any of them; those queries are searched again by ``torch_search``.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        k: How many to return; at most G are.
        metric: ``cosine`` or ``euclidean``.
        device: ``cuda`` searches on a GPU where faiss sees one; a GPU that fails is warned of, and the CPU
            takes over.

    Returns:
        (Q, k) float32 scores, the cosine or minus the squared Euclidean distance, larger is closer; and
        (Q, k) int64 gallery indices, best first. Both on the CPU.

    Raises:
        InputError: If faiss is not installed, ``k`` is below 1, or the features are refused by
            ``prepare_features``.
    """
    query, gallery = _prepare(query, gallery, k, metric)
    query, gallery = query.cpu(), gallery.cpu()
    # One more than wanted, to see whether the last place is shared.
    scores, indices = _faiss_search(query, gallery, min(k + 1, len(gallery)), metric, torch.device(device))
    scores, indices = in_stable_order(scores, indices)
    if scores.shape[1] > k:
        is_shared = scores[:, k - 1] == scores[:, k]
        scores, indices = scores[:, :k], indices[:, :k]
        if is_shared.any():
            scores[is_shared], indices[is_shared] = _rank_all(query[is_shared], gallery, k, metric)
    return scores, indices


def torch_search(query: Tensor, gallery: Tensor, k: int, *, metric: str = "cosine") -> tuple[Tensor, Tensor]:
    """Do what ``search`` does by comparing all pairs: slower, without faiss, where the features are."""
    query, gallery = _prepare(query, gallery, k, metric)
    return _rank_all(query, gallery, k, metric)


def ranked_lists(
    query: Tensor,
    gallery: Tensor,
    query_pids: Labels,
    gallery_pids: Labels,
    query_camids: Labels,
    gallery_camids: Labels,
    k: int,
    *,
    metric: str = "cosine",
    device: str | torch.device = "cpu",
) -> Tensor:
    """List each query's ``k`` best gallery images among those that ``evaluate_retrieval`` counts.

    Images of the query's identity and camera, and images of identity -1, are left out.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        k: Length of the lists.
        metric: ``cosine`` or ``euclidean``.
        device: As in ``search``.

    Returns:
        (Q, k) int64 gallery indices on the CPU, best first; -1 after the last where fewer remain.

    Raises:
        InputError: As ``search``, or if labels and features differ in number.
    """
    cpu = torch.device("cpu")
    query_pids = as_labels(query_pids, len(query), "query_pids", cpu)
    query_camids = as_labels(query_camids, len(query), "query_camids", cpu)
    gallery_pids = as_labels(gallery_pids, len(gallery), "gallery_pids", cpu)
    gallery_camids = as_labels(gallery_camids, len(gallery), "gallery_camids", cpu)
    known = (gallery_pids != UNKNOWN).nonzero().squeeze(1)
    gallery_pids, gallery_camids = gallery_pids[known], gallery_camids[known]

    found = IdentityIndex(gallery_pids, gallery_camids).find(query_pids, query_camids)
    max_junk = max((len(junk) for _, junk in found), default=0)
    _, indices = search(query, gallery[known.to(gallery.device)], k + max_junk, metric=metric, device=device)

    _, is_junk = relevance(query_pids, query_camids, gallery_pids[indices], gallery_camids[indices])
    ranks = known[indices].masked_fill(is_junk, -1)
    ranks = ranks.gather(1, is_junk.long().sort(dim=1, stable=True).indices)[:, :k]
    return torch.nn.functional.pad(ranks, (0, k - ranks.shape[1]), value=-1)


def _prepare(query: Tensor, gallery: Tensor, k: int, metric: str) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise InputError(f"k, the number of gallery images to find, must be at least 1, got {k}")
    return prepare_features(query, gallery, metric)


def _rank_all(query: Tensor, gallery: Tensor, k: int, metric: str) -> tuple[Tensor, Tensor]:
    scores, indices = [], []
    for rows in query.split(CHUNK):
        best, places = stable_top(similarity(rows, gallery, metric), k)
        scores.append(best)
        indices.append(places)
    return torch.cat(scores), torch.cat(indices)


def _faiss_search(
    query: Tensor, gallery: Tensor, k: int, metric: str, device: torch.device
) -> tuple[Tensor, Tensor]:
    faiss = _import_faiss()
    rows, width = query.contiguous().numpy(), gallery.shape[1]
    index = faiss.IndexFlatIP(width) if metric == "cosine" else faiss.IndexFlatL2(width)
    index.add(gallery.contiguous().numpy())
    scores, indices = _search_on_gpu(faiss, index, rows, k, device) or index.search(rows, k)
    return torch.from_numpy(scores if metric == "cosine" else -scores), torch.from_numpy(indices)


def _search_on_gpu(
    faiss: ModuleType, index: object, rows: NDArray[np.float32], k: int, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """Search on the GPU asked for; None where there is none or it fails."""
    if device.type != "cuda" or faiss.get_num_gpus() == 0:
        return None
    try:
        on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), device.index or 0, index)
        scores, indices = on_gpu.search(rows, k)
    except RuntimeError as fault:
        logger.warning("faiss failed on %s (%s); searching on the CPU", device, " ".join(str(fault).split()))
        return None
    return scores, indices


def _import_faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as fault:
        raise InputError(
            f"searching needs faiss, but importing it failed ({fault}); "
            "pip install faiss-gpu on Linux, pip install faiss-cpu elsewhere"
        ) from fault
    return faiss

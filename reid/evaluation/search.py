"""The k nearest gallery images of each query, by faiss; needs faiss only when called.

Metrics do not come from here: they rank the whole gallery.
"""

import torch
from torch import Tensor

from reid.evaluation.copies import Copies
from reid.evaluation.faiss_approximate import ApproximateIndex, usable_index
from reid.evaluation.faiss_flat import FlatIndex
from reid.evaluation.similarity import in_stable_order, prepare_features, similarity, stable_top
from reid.utils import InputError, unknown_choice

INDEXES = ("flat", "ivf", "hnsw")
CHUNK = 256  # queries compared with the whole gallery at a time, at most
MAX_PAIRS = 1 << 26  # similarities held at a time


def search(
    query: Tensor,
    gallery: Tensor,
    k: int,
    *,
    metric: str = "cosine",
    device: str | torch.device = "cpu",
    index: str = "flat",
) -> tuple[Tensor, Tensor]:
    """Find the ``k`` nearest gallery rows of each query row, exactly unless another index is asked for.

    Rows with equal scores come in gallery order. Where the k-th and the next score are equal, faiss may
    keep any of them; those queries are searched again by ``torch_search``.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        k: How many to return; at most G are.
        metric: ``cosine`` or ``euclidean``.
        device: ``cuda`` searches on the GPUs that faiss sees, the gallery shared among them, ``cuda:1`` on
            that one; a GPU that fails is warned of, and the CPU takes over. For ``flat``: the approximate
            indexes are on the CPU whatever it says.
        index: ``flat`` is exact. ``ivf`` and ``hnsw`` look at part of the gallery and may miss some of the
            nearest: see ``ApproximateIndex``, and ``approximate_recall`` for how many. A gallery too small
            for ``ivf`` is searched exactly, and a line of the log says so.

    Returns:
        (Q, k) float32 scores, the cosine or minus the squared Euclidean distance, larger is closer; and
        (Q, k) int64 gallery indices, best first. Both on the CPU. -inf and -1 behind the last where an
        approximate index found fewer.

    Raises:
        InputError: If faiss is not installed, ``k`` is below 1, ``index`` is unknown, or the features are
            refused by ``prepare_features``.
    """
    check_index(index)
    query, gallery = _prepare(query, gallery, k, metric)
    query, gallery = query.cpu(), gallery.cpu()
    index = usable_index(index, len(gallery))
    if index != "flat":
        return ApproximateIndex(gallery, metric, index).nearest(query, min(k, len(gallery)))
    # One more than wanted, to see whether the last place is shared.
    found = FlatIndex(gallery, metric, device).nearest(query, min(k + 1, len(gallery)))
    scores, indices = in_stable_order(*found)
    if scores.shape[1] > k:
        is_shared = scores[:, k - 1] == scores[:, k]
        scores, indices = scores[:, :k], indices[:, :k]
        if is_shared.any():
            scores[is_shared], indices[is_shared] = _rank_all(query[is_shared], gallery, k, metric)
    return scores, indices


def torch_search(query: Tensor, gallery: Tensor, k: int, *, metric: str = "cosine") -> tuple[Tensor, Tensor]:
    """Do what ``search`` does by comparing all pairs: slower, without faiss, where the features are.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features on the same device.
        k: How many to return; at most G are.
        metric: ``cosine`` or ``euclidean``.

    Returns:
        (Q, k) float32 scores and (Q, k) int64 gallery indices, as ``search``, on the features' device.

    Raises:
        InputError: If ``k`` is below 1, or the features are refused by ``prepare_features``.
    """
    query, gallery = _prepare(query, gallery, k, metric)
    return _rank_all(query, gallery, k, metric)


def check_index(index: str) -> None:
    """Refuse a word that names no index.

    Raises:
        InputError: With the words that do.
    """
    if index not in INDEXES:
        raise InputError(unknown_choice("index", index, INDEXES))


def _prepare(query: Tensor, gallery: Tensor, k: int, metric: str) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise InputError(f"k, the number of gallery images to find, must be at least 1, got {k}")
    return prepare_features(query, gallery, metric)


def _rank_all(query: Tensor, gallery: Tensor, k: int, metric: str) -> tuple[Tensor, Tensor]:
    scores, indices, copies = [], [], Copies(gallery)
    for rows in query.split(max(1, min(CHUNK, MAX_PAIRS // len(gallery)))):
        best, places = stable_top(copies.tie(similarity(rows, gallery, metric)), k)
        scores.append(best)
        indices.append(places)
    return torch.cat(scores), torch.cat(indices)

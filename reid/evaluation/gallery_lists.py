"""Each query's best gallery images among those that count, for people to look at."""

import logging

import torch
from torch import Tensor

from reid.data.records import UNKNOWN
from reid.evaluation.recall import SAMPLE, sample_rows, search_recall
from reid.evaluation.relevance import IdentityIndex, Labels, labels_of_side, relevance
from reid.evaluation.search import search
from reid.utils import InputError

logger = logging.getLogger(__name__)


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
    index: str = "flat",
) -> Tensor:
    """List each query's ``k`` best gallery images among those that ``evaluate_retrieval`` counts.

    Images of the query's identity and camera, and images of identity -1, are left out. With an approximate
    index up to 200 queries are searched exactly too, and the log says what share of their nearest was found.

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
        index: As in ``search``.

    Returns:
        (Q, k) int64 gallery indices on the CPU, best first; -1 after the last where fewer remain.

    Raises:
        InputError: As ``search``, or if labels and features differ in number.
    """
    if k < 1:
        raise InputError(f"k, the length of the lists, must be at least 1, got {k}")
    query_pids, query_camids = labels_of_side(query_pids, query_camids, len(query), "query")
    gallery_pids, gallery_camids = labels_of_side(gallery_pids, gallery_camids, len(gallery), "gallery")
    known = (gallery_pids != UNKNOWN).nonzero().squeeze(1)
    gallery_pids, gallery_camids = gallery_pids[known], gallery_camids[known]

    _, num_junk = IdentityIndex(gallery_pids, gallery_camids).count(query_pids, query_camids)
    gallery, depth = gallery[known.to(gallery.device)], k + int(num_junk.max(initial=0))
    lists = search(query, gallery, depth, metric=metric, device=device, index=index)
    if index != "flat":
        _log_recall(query, gallery, lists, metric, device, index)

    indices = lists[1]
    is_missing = indices < 0
    indices = indices.clamp(min=0)
    _, is_junk = relevance(query_pids, query_camids, gallery_pids[indices], gallery_camids[indices])
    is_missing |= is_junk
    ranks = known[indices].masked_fill(is_missing, -1)
    ranks = ranks.gather(1, is_missing.long().sort(dim=1, stable=True).indices)[:, :k]
    return torch.nn.functional.pad(ranks, (0, k - ranks.shape[1]), value=-1)


def _log_recall(
    query: Tensor,
    gallery: Tensor,
    lists: tuple[Tensor, Tensor],
    metric: str,
    device: str | torch.device,
    index: str,
) -> None:
    rows = sample_rows(len(query), SAMPLE)
    scores, indices = lists
    depth = indices.shape[1]
    exact = search(query[rows.to(query.device)], gallery, depth, metric=metric, device=device)
    recall = search_recall((scores[rows], indices[rows]), exact)
    share = f"{recall * 100:.1f}% of the {depth} nearest"
    logger.info("index %s found %s, measured on %d queries", index, share, len(rows))

"""mAP, mINP and CMC of a retrieval, from features and labels.

Values are fractions; percent exists only where text is made.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.data.records import UNKNOWN
from reid.evaluation.relevance import Labels, as_labels, relevance
from reid.evaluation.similarity import prepare_features, similarity
from reid.utils import InputError


@dataclass(frozen=True, eq=False)
class RetrievalMetrics:
    """How well a gallery was ranked.

    Args:
        mean_ap: Mean of the queries' average precisions.
        mean_inp: Mean of (number of true matches / rank of the last one).
        cmc: (max_rank,) float64; entry k - 1 is the share of queries with a true match among the first k.
        average_precision: (Q,) float64, one for each query; NaN where it was not evaluated.
        num_query: All queries given.
        num_evaluated: Queries with at least one true match; the means are over these.
        num_gallery: Gallery images that take part: those of unknown identity (-1) are not counted.
    """

    mean_ap: float
    mean_inp: float
    cmc: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    num_query: int
    num_evaluated: int
    num_gallery: int


def evaluate_retrieval(
    query: Tensor,
    gallery: Tensor,
    query_pids: Labels,
    gallery_pids: Labels,
    query_camids: Labels,
    gallery_camids: Labels,
    *,
    metric: str = "cosine",
    max_rank: int = 50,
    chunk_size: int = 256,
) -> RetrievalMetrics:
    """Rank the whole gallery for each query and score the rankings.

    With r_1 < ... < r_M the ranks of a query's M true matches among the gallery images that count for it:

        AP  = 1/M Σ_i i / r_i        mAP  = mean of AP
        INP = M / r_M                mINP = mean of INP
        CMC(k) = share of queries with r_1 <= k

    Gallery images of the query's identity and camera are junk and leave the ranking; camera -1 equals no
    camera. Gallery images of identity -1 leave every ranking. Any other identity that is not the query's,
    such as the distractors of identity 0, counts as wrong. Equal similarities keep gallery order; equal
    means equal as float32 products. A query without a true match, or of identity -1, is left out of the
    means and counted. Ranks beyond the gallery's size repeat the last CMC value.

    The work is done where the features are, on ``chunk_size`` queries at a time, and takes about 30 bytes
    for each pair of a chunk.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        metric: ``cosine`` or ``euclidean``.
        max_rank: Length of the CMC curve.
        chunk_size: Queries ranked at a time; changes memory and speed, not the result.

    Raises:
        InputError: If no query can be evaluated, or what was given is empty, not finite, of different
            lengths or widths, or out of range.

    Example:
        The one true match comes second:

        >>> result = evaluate_retrieval(
        ...     torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.5]]), [7], [8, 7], [0], [1, 1]
        ... )
        >>> result.mean_ap, result.cmc[:2].tolist()
        (0.5, [0.0, 1.0])
    """
    if max_rank < 1 or chunk_size < 1:
        raise InputError(f"max_rank and chunk_size must be at least 1, got {max_rank} and {chunk_size}")
    query, gallery = prepare_features(query, gallery, metric)
    query_pids = as_labels(query_pids, len(query), "query_pids", query.device)
    query_camids = as_labels(query_camids, len(query), "query_camids", query.device)
    gallery_pids = as_labels(gallery_pids, len(gallery), "gallery_pids", query.device)
    gallery_camids = as_labels(gallery_camids, len(gallery), "gallery_camids", query.device)
    is_known = gallery_pids != UNKNOWN
    gallery, gallery_pids, gallery_camids = (
        gallery[is_known],
        gallery_pids[is_known],
        gallery_camids[is_known],
    )

    scores = torch.full((len(query), 3), float("nan"), dtype=torch.float64, device=query.device)
    for start in range(0, len(query), chunk_size):
        rows = torch.arange(start, min(start + chunk_size, len(query)), device=query.device)
        is_match, is_junk = relevance(query_pids[rows], query_camids[rows], gallery_pids, gallery_camids)
        has_match = is_match.any(dim=1)
        rows = rows[has_match]
        sim_mat = similarity(query[rows], gallery, metric)
        scores[rows] = _score_queries(sim_mat, is_match[has_match], is_junk[has_match])
    return _summarise(scores.cpu().numpy(), max_rank, len(gallery))


def _score_queries(sim_mat: Tensor, is_match: Tensor, is_junk: Tensor) -> Tensor:
    """Score queries that each have a true match.

    Args:
        sim_mat: (B, G) float32, larger is closer.
        is_match: (B, G) bool.
        is_junk: (B, G) bool.

    Returns:
        (B, 3) float64: average precision, inverse negative penalty, rank of the first true match.
    """
    order = sim_mat.sort(dim=1, descending=True, stable=True).indices
    is_match, is_counted = is_match.gather(1, order), ~is_junk.gather(1, order)
    ranks = is_counted.cumsum(dim=1, dtype=torch.int32)[is_match]  # (M,) query by query, best first
    num_matches = is_match.sum(dim=1)
    ends = num_matches.cumsum(dim=0)
    starts = ends - num_matches
    query_of_match = torch.arange(len(sim_mat), device=ranks.device).repeat_interleave(num_matches)  # (M,)
    found = torch.arange(1, len(ranks) + 1, device=ranks.device) - starts[query_of_match]  # (M,) 1, 2, ...
    precision = found.double() / ranks
    total = precision.new_zeros(len(sim_mat)).index_add_(0, query_of_match, precision)
    last, first = ranks[ends - 1], ranks[starts].double()
    return torch.stack([total / num_matches, num_matches.double() / last, first], dim=1)


def _summarise(scores: NDArray[np.float64], max_rank: int, num_gallery: int) -> RetrievalMetrics:
    evaluated = scores[~np.isnan(scores[:, 0])]
    if len(evaluated) == 0:
        raise InputError(
            f"at least one query needs a gallery image of its identity from another camera, but none of "
            f"{len(scores)} queries has one among {num_gallery} gallery images; check identities and cameras"
        )
    _, _, first_ranks = evaluated.T
    mean_ap, mean_inp, _ = evaluated.mean(axis=0)
    return RetrievalMetrics(
        mean_ap=float(mean_ap),
        mean_inp=float(mean_inp),
        cmc=(first_ranks[:, None] <= np.arange(1, max_rank + 1)).mean(axis=0),
        average_precision=scores[:, 0].copy(),
        num_query=len(scores),
        num_evaluated=len(evaluated),
        num_gallery=num_gallery,
    )

"""mAP, mINP and CMC of a retrieval, from features and labels.

Values are fractions; percent exists only where text is made.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.data.records import UNKNOWN
from reid.evaluation.ranks import match_ranks
from reid.evaluation.relevance import IdentityIndex, Labels, Rows, as_labels
from reid.evaluation.rerank import KReciprocal, ReRanking
from reid.evaluation.similarity import prepare_features, similarity
from reid.utils import InputError

MAX_PAIRS = 1 << 27  # similarities held at a time


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
    reranking: ReRanking | None = None,
    max_rank: int = 50,
    chunk_size: int = 1024,
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

    The work is done where the features are, on ``chunk_size`` queries at a time or fewer: the similarities
    of a chunk take at most 512 MB. Nothing is sorted; see ``match_ranks``.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        metric: ``cosine`` or ``euclidean``.
        reranking: Rank by re-ranked distances, of all queries and the gallery images of known identity; they
            take no notice of labels, and junk leaves the ranking afterwards. None ranks by similarity.
        max_rank: Length of the CMC curve.
        chunk_size: Queries ranked at a time, at most; changes memory and speed, not the result.

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
    cpu = torch.device("cpu")
    query_pids = as_labels(query_pids, len(query), "query_pids", cpu)
    query_camids = as_labels(query_camids, len(query), "query_camids", cpu)
    gallery_pids = as_labels(gallery_pids, len(gallery), "gallery_pids", cpu)
    gallery_camids = as_labels(gallery_camids, len(gallery), "gallery_camids", cpu)
    is_known = gallery_pids != UNKNOWN
    if not is_known.all():
        gallery = gallery[is_known.to(gallery.device)]
        gallery_pids, gallery_camids = gallery_pids[is_known], gallery_camids[is_known]

    found = IdentityIndex(gallery_pids, gallery_camids).find(query_pids, query_camids)
    scores = np.full((len(query), 3), np.nan)
    evaluated = [row for row, (matches, _) in enumerate(found) if len(matches)]
    if evaluated:
        chunk_size = max(1, min(chunk_size, MAX_PAIRS // len(gallery), len(evaluated)))
        compare = _comparison(query, gallery, metric, reranking, chunk_size)
        # Counting spends its time outside the interpreter's lock.
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for start in range(0, len(evaluated), chunk_size):
                rows = evaluated[start : start + chunk_size]
                relevant = [found[row] for row in rows]
                scores[rows] = list(pool.map(_score_query, compare(torch.tensor(rows)), relevant))
    return _summarise(scores, max_rank, len(gallery))


def _comparison(
    query: Tensor, gallery: Tensor, metric: str, reranking: ReRanking | None, chunk_size: int
) -> Callable[[Tensor], Tensor]:
    """What maps up to ``chunk_size`` query rows (B,) to similarities (B, G), good until the next call."""
    if reranking is None:
        out = query.new_empty(chunk_size, len(gallery))
        return lambda rows: similarity(query[rows.to(query.device)], gallery, metric, out[: len(rows)])
    reranked = KReciprocal(query, gallery, metric, reranking)
    return lambda rows: reranked.distances(rows).neg_()


def _score_query(similarities: Tensor, relevant: tuple[Rows, Rows]) -> tuple[float, float, float]:
    """Average precision, inverse negative penalty, and rank of the first true match."""
    ranks = match_ranks(similarities, *relevant)
    precision = np.arange(1, len(ranks) + 1) / ranks
    return precision.mean(), precision[-1], ranks[0]


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

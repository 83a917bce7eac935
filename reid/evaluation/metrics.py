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
from reid.evaluation.copies import Copies
from reid.evaluation.listed_ranks import ListedRanks
from reid.evaluation.ranks import match_ranks
from reid.evaluation.relevance import IdentityIndex, Labels, Rows, labels_of_side
from reid.evaluation.rerank import KReciprocal, ReRanking
from reid.evaluation.similarity import check_features, similarity, unit_rows
from reid.utils import InputError, unknown_choice

BACKENDS = ("torch", "faiss")
MAX_PAIRS = 1 << 27  # similarities held at a time
WORTH_LISTING = 0.5  # share of a chunk's queries that lists must tell, or all that are left are counted


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
    backend: str = "torch",
    device: str | torch.device | None = None,
) -> RetrievalMetrics:
    """Rank the whole gallery for each query and score the rankings.

    With r_1 < ... < r_M the ranks of a query's M true matches among the gallery images that count for it:

        AP  = 1/M Σ_i i / r_i        mAP  = mean of AP
        INP = M / r_M                mINP = mean of INP
        CMC(k) = share of queries with r_1 <= k

    Gallery images of the query's identity and camera are junk and leave the ranking; camera -1 equals no
    camera. Gallery images of identity -1 leave every ranking. Any other identity that is not the query's,
    such as the distractors of identity 0, counts as wrong. Equal similarities keep gallery order; those of
    equal rows are equal, those of others where their float32 products are. A query without a true match, or
    of identity -1, is left out of the means and counted. Ranks beyond the gallery's size repeat the last CMC
    value.

    Backend ``torch`` works where the features are, on ``chunk_size`` queries at a time or fewer: the
    similarities of a chunk take at most 512 MB. Nothing is sorted; see ``match_ranks``. Backend ``faiss``
    lists the 1,024 nearest of each query, exactly, and leaves queries whose list does not tell the ranks of
    all their matches to the other backend; why both rank alike is said at ``ListedRanks``. Neither takes an
    approximate index. Cosine copies a table of features once unless its rows have length 1 already.

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
        chunk_size: Queries ranked at a time, at most; changes memory and speed, and the result
            only where different rows are equally close but for rounding.
        backend: ``torch`` or ``faiss``. Re-ranking is torch's alone.
        device: Where faiss searches, as in ``search``; None is where the features are. For faiss alone.

    Raises:
        InputError: If no query can be evaluated, or what was given is empty, not finite, of different
            lengths or widths, out of range, or does not go together; or if faiss is wanted and not installed.

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
    _check_backend(backend, device, reranking)
    query, gallery, (query_lengths, gallery_lengths) = check_features(query, gallery, metric)
    query_pids, query_camids = labels_of_side(query_pids, query_camids, len(query), "query")
    gallery_pids, gallery_camids = labels_of_side(gallery_pids, gallery_camids, len(gallery), "gallery")
    is_known = gallery_pids != UNKNOWN
    is_copy = not is_known.all()
    if is_copy:
        known = is_known.to(gallery.device)
        gallery, gallery_lengths = gallery[known], gallery_lengths[known]
        gallery_pids, gallery_camids = gallery_pids[is_known], gallery_camids[is_known]
    if metric == "cosine":
        query, gallery = unit_rows(query, query_lengths), unit_rows(gallery, gallery_lengths, own=is_copy)

    index = IdentityIndex(gallery_pids, gallery_camids)
    counts, _ = index.count(query_pids, query_camids)
    scores, left = np.full((len(query), 3), np.nan), np.flatnonzero(counts)
    if backend == "faiss" and len(left):
        of_query, of_gallery = (query_pids, query_camids), (gallery_pids, gallery_camids)
        lists = ListedRanks(query, gallery, of_query, of_gallery, metric, device or query.device)
        left = _score_listed(scores, lists, left, counts, chunk_size)
    if len(left):
        chunk_size = max(1, min(chunk_size, MAX_PAIRS // len(gallery), len(left)))
        compare = _comparison(query, gallery, metric, reranking, chunk_size)
        # Counting spends its time outside the interpreter's lock.
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for start in range(0, len(left), chunk_size):
                rows = torch.from_numpy(left[start : start + chunk_size])
                relevant = index.find(query_pids[rows], query_camids[rows])
                scores[rows.numpy()] = list(pool.map(_score_query, compare(rows), relevant))
    return _summarise(scores, max_rank, len(gallery))


def _check_backend(backend: str, device: str | torch.device | None, reranking: ReRanking | None) -> None:
    if backend not in BACKENDS:
        raise InputError(unknown_choice("backend", backend, BACKENDS))
    if backend == "torch" and device is not None:
        raise InputError(
            f"backend 'torch' works where the features are, got device {str(device)!r}; move them there"
        )
    if backend == "faiss" and reranking is not None:
        raise InputError(
            "backend 'faiss' ranks by similarity alone, got a re-ranking; use backend 'torch' to re-rank"
        )


def _score_listed(
    scores: NDArray[np.float64], lists: ListedRanks, rows: Rows, counts: NDArray[np.int64], chunk_size: int
) -> Rows:
    """Fill in the scores (Q, 3) of the queries ``rows`` whose lists tell them; return the others.

    Counting costs about as much as listing, so lists that tell few are given up after a chunk.
    """
    is_left = np.ones(len(scores), bool)
    listed = rows[counts[rows] <= lists.length]
    for start in range(0, len(listed), chunk_size):
        part = listed[start : start + chunk_size]
        for row, ranks in zip(part.tolist(), lists.find(part, counts[part]), strict=True):
            if ranks is not None:
                scores[row], is_left[row] = _score_ranks(ranks), False
        if is_left[part].mean() > 1 - WORTH_LISTING:
            break
    return rows[is_left[rows]]


def _comparison(
    query: Tensor, gallery: Tensor, metric: str, reranking: ReRanking | None, chunk_size: int
) -> Callable[[Tensor], Tensor]:
    """What maps up to ``chunk_size`` query rows (B,) to similarities (B, G), good until the next call."""
    if reranking is None:
        out, copies = query.new_empty(chunk_size, len(gallery)), Copies(gallery)
        return lambda rows: copies.tie(
            similarity(query[rows.to(query.device)], gallery, metric, out[: len(rows)])
        )
    reranked = KReciprocal(query, gallery, metric, reranking)
    return lambda rows: reranked.distances(rows).neg_()


def _score_query(similarities: Tensor, relevant: tuple[Rows, Rows]) -> tuple[float, float, float]:
    return _score_ranks(match_ranks(similarities, *relevant))


def _score_ranks(ranks: Rows) -> tuple[float, float, float]:
    """Average precision, inverse negative penalty, and rank of the first true match."""
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
        cmc=np.searchsorted(np.sort(first_ranks), np.arange(1, max_rank + 1), side="right") / len(evaluated),
        average_precision=scores[:, 0].copy(),
        num_query=len(scores),
        num_evaluated=len(evaluated),
        num_gallery=num_gallery,
    )

"""How many of the nearest an approximate index finds, and what it saves."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from reid.evaluation.faiss_approximate import ApproximateIndex, usable_index
from reid.evaluation.search import check_index, search
from reid.evaluation.similarity import prepare_features
from reid.utils import InputError

SAMPLE = 200  # queries that are searched exactly too
ROUNDING = 2.0**-20  # relative difference of two scores that are equal but for float32 sums


@dataclass(frozen=True)
class RecallResult:
    """What an approximate search of some queries found and took.

    Args:
        index: What was searched: ``flat`` where the gallery was too small for the index asked for.
        metric: ``cosine`` or ``euclidean``.
        k: How many of the nearest were sought.
        num_query: Queries that were searched, a sample.
        num_gallery: Gallery rows.
        recall: See ``search_recall``.
        exact_seconds: Wall time of the exact search of the sample.
        build_seconds: Wall time of building the index, once for all queries.
        approximate_seconds: Wall time of the approximate search of the sample, with the index built.
    """

    index: str
    metric: str
    k: int
    num_query: int
    num_gallery: int
    recall: float
    exact_seconds: float
    build_seconds: float
    approximate_seconds: float

    def describe(self) -> str:
        """Word it in one line."""
        return (
            f"{self.index}: {self.recall * 100:.1f}% of the {self.k} nearest found, {self.num_query} queries "
            f"x {self.num_gallery} gallery images, {self.metric}; {self.approximate_seconds:.2f} s against "
            f"{self.exact_seconds:.2f} s exact, {self.build_seconds:.2f} s to build"
        )


def approximate_recall(
    query: Tensor,
    gallery: Tensor,
    k: int,
    *,
    metric: str = "cosine",
    index: str = "ivf",
    sample: int = SAMPLE,
    seed: int = 0,
) -> RecallResult:
    """Search a sample of the queries exactly and by an approximate index, both on the CPU.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        k: How many of the nearest to seek; at most G are.
        metric: ``cosine`` or ``euclidean``.
        index: ``ivf`` or ``hnsw``, as in ``search``; ``flat`` finds all.
        sample: How many queries to draw; all where there are no more.
        seed: Of the draw.

    Raises:
        InputError: As ``search``, or if ``sample`` is below 1.
    """
    check_index(index)
    if k < 1 or sample < 1:
        raise InputError(f"k and sample must be at least 1, got {k} and {sample}")
    query, gallery = prepare_features(query, gallery, metric)
    query, k = query[sample_rows(len(query), sample, seed).to(query.device)], min(k, len(gallery))
    index = usable_index(index, len(gallery))

    start = time.perf_counter()
    exact = search(query, gallery, k, metric=metric)
    exact_seconds = time.perf_counter() - start
    if index == "flat":
        build_seconds, approximate_seconds, found = 0.0, exact_seconds, exact
    else:
        start = time.perf_counter()
        built = ApproximateIndex(gallery, metric, index)
        build_seconds = time.perf_counter() - start
        start = time.perf_counter()
        found = built.nearest(query, k)
        approximate_seconds = time.perf_counter() - start
    return RecallResult(
        index=index,
        metric=metric,
        k=k,
        num_query=len(query),
        num_gallery=len(gallery),
        recall=search_recall(found, exact),
        exact_seconds=exact_seconds,
        build_seconds=build_seconds,
        approximate_seconds=approximate_seconds,
    )


def search_recall(found: tuple[Tensor, Tensor], exact: tuple[Tensor, Tensor]) -> float:
    """Share of the exact k nearest that were found.

        recall = 1/(Q k) Σ_q #{g found of q : g is one of the exact k, or s_g >= s_k}

    with s_k the k-th exact score, less what rounding of it leaves: a row as near as the k-th counts,
    whichever of several equal ones the exact list holds.

    Args:
        found: (Q, k) scores and rows as ``search`` gives them; -1 where none was found.
        exact: The same of an exact search.

    Raises:
        InputError: If the two are not of the same shape.
    """
    (scores, rows), (exact_scores, exact_rows) = found, exact
    if rows.shape != exact_rows.shape or rows.numel() == 0:
        raise InputError(
            f"recall needs found and exact lists of the same queries and length, got {tuple(rows.shape)} and "
            f"{tuple(exact_rows.shape)}"
        )
    num_hits = 0
    # A query at a time: all pairs of found and exact rows at once would be Q k² of them.
    for score, row, exact_score, exact_row in zip(scores, rows, exact_scores, exact_rows, strict=True):
        last = exact_score[-1]
        is_near = score >= last - ROUNDING * last.abs()
        num_hits += int((torch.isin(row, exact_row) | is_near).sum())
    return num_hits / rows.numel()


def sample_rows(count: int, sample: int, seed: int = 0) -> Tensor:
    """Up to ``sample`` of ``count`` rows, drawn without replacement, ascending."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:sample].sort().values

"""k-reciprocal re-ranking in sparse form, without labels.

Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017. All N = Q + G
images are compared with each other, a chunk of rows at a time; what is kept is a few neighbours an image.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from reid.evaluation.similarity import pair_similarity, prepare_features, similarity, stable_top
from reid.utils import InputError

CHUNK = 1024  # images compared with all others at a time, at most
MOST = 10**6  # neighbours
SHARED = 32  # queries whose encodings are compared at a time
MAX_PAIRS = 1 << 26  # similarities held at a time


@dataclass(frozen=True)
class ReRanking:
    """The numbers of k-reciprocal re-ranking; the defaults are the paper's.

    Args:
        k1: Neighbours among which reciprocal ones are sought, 1 to 10^6.
        k2: Neighbours, the image itself among them, over which an encoding is averaged; 1 averages nothing.
        lambda_value: Weight of the original distance, in [0, 1]; 1 is no re-ranking.

    Raises:
        InputError: If a number is out of range.
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        if not (1 <= self.k1 <= MOST and 1 <= self.k2 <= MOST and 0 <= self.lambda_value <= 1):
            raise InputError(
                f"re-ranking needs k1 and k2 in 1 to {MOST} and lambda_value in [0, 1], "
                f"got {self.k1}, {self.k2} and {self.lambda_value}"
            )

    def describe(self) -> str:
        """Word it for a protocol."""
        return f"re-ranking with k1 {self.k1}, k2 {self.k2}, lambda {self.lambda_value:g}"


def reranked_distances(
    query: Tensor,
    gallery: Tensor,
    reranking: ReRanking | None = None,
    *,
    metric: str = "cosine",
    chunk_size: int = 256,
) -> Iterator[Tensor]:
    """Re-ranked distances of the queries to the whole gallery, some queries at a time.

    Args:
        query: (Q, D) features.
        gallery: (G, D) features.
        reranking: Its numbers; None takes the paper's.
        metric: ``cosine`` or ``euclidean``.
        chunk_size: Queries a chunk.

    Returns:
        An iterator over (B, G) float32 in [0, 1], smaller is closer, of B queries at a time in their order;
        they lie where the features do.

    Raises:
        InputError: If ``chunk_size`` is below 1, or the features are refused by ``prepare_features``.
    """
    if chunk_size < 1:
        raise InputError(f"chunk_size must be at least 1, got {chunk_size}")
    encoded = KReciprocal(*prepare_features(query, gallery, metric), metric, reranking or ReRanking())
    return (encoded.distances(rows) for rows in torch.arange(len(query)).split(chunk_size))


class KReciprocal:
    """The encodings of all images, and from them the re-ranked distances of queries.

    With N(p, k) the k images nearest to p beside itself, and d(p, g) the squared distance |p - g|² (2 - 2 cos
    for ``cosine``) over the largest squared distance of p to any image:

        R(p, k)  = {g in N(p, k) : p in N(g, k)}
        R*(p)    = R(p, k1) and each R(q, k1/2) of a q in R(p, k1) that shares more than 2/3 with R(p, k1)
        V_p[g]   = exp(-d(p, g)) for g in R*(p), else 0; scaled to sum 1, then averaged over N(p, k2 - 1)
        d_J(p,g) = 1 - Σ min(V_p, V_g) / Σ max(V_p, V_g)
        d*       = (1 - λ) d_J + λ d

    Every image is in its own sets. As V sums to 1, Σ max = 2 - Σ min. Scaling of d and V, and "more than"
    instead of "at least" 2/3, are from the authors' code, with which published figures were made.

    Args:
        query: (Q, D) from ``prepare_features``.
        gallery: (G, D) from ``prepare_features``.
        metric: The metric they were prepared for.
        reranking: k1, k2 and λ.
    """

    def __init__(self, query: Tensor, gallery: Tensor, metric: str, reranking: ReRanking) -> None:
        self._query, self._gallery, self._metric = query, gallery, metric
        self._lambda = reranking.lambda_value
        images = torch.cat([query, gallery])
        neighbours, farthest = _nearest(images, max(reranking.k1 + 1, reranking.k2), metric)
        self._farthest = farthest[: len(query)]
        sets = _expanded_sets(neighbours, reranking.k1)
        encodings = _average(_encode(sets, images, farthest, metric), neighbours[:, : reranking.k2])
        self._of_query = encodings[: len(query)]
        self._of_gallery = encodings[len(query) :].tocsc()

    def distances(self, rows: Tensor) -> Tensor:
        """Re-ranked distances (B, G) of the queries ``rows`` (B,)."""
        parts = [self._of_query[part.numpy()] for part in rows.cpu().split(SHARED)]
        shared = np.concatenate([self._shared(part) for part in parts])
        jaccard = torch.from_numpy(1 - shared / (2 - shared)).to(self._query.device)
        rows = rows.to(self._query.device)
        sim_mat = similarity(self._query[rows], self._gallery, self._metric)
        original = _scaled(sim_mat, self._farthest[rows, None], self._metric)
        return original.mul_(self._lambda).add_(jaccard, alpha=1 - self._lambda)

    def _shared(self, encodings: sparse.csr_array) -> NDArray[np.float32]:
        """Σ min(V_p, V_g) of queries p (B, N) and every gallery image g, (B, G).

        Columns where V_p is 0 add nothing, so the others are all that is looked at.
        """
        columns = self._of_gallery[:, encodings.indices]
        counts = np.diff(columns.indptr)
        smaller = np.minimum(np.repeat(encodings.data, counts), columns.data)
        num_query, num_gallery = encodings.shape[0], len(self._gallery)
        query_of_entry = np.repeat(np.arange(num_query), np.diff(encodings.indptr))
        places = np.repeat(query_of_entry * num_gallery, counts) + columns.indices
        shared = np.bincount(places, smaller, minlength=num_query * num_gallery)
        return shared.reshape(num_query, num_gallery).astype(np.float32)


def _nearest(images: Tensor, count: int, metric: str) -> tuple[NDArray[np.int64], Tensor]:
    """Each image's ``count`` nearest, itself first, (N, count); and the squared distance to its farthest."""
    neighbours, farthest = [], []
    chunk_size = max(1, min(CHUNK, MAX_PAIRS // len(images), len(images)))
    out = images.new_empty(chunk_size, len(images))
    for rows in torch.arange(len(images), device=images.device).split(chunk_size):
        sim_mat = similarity(images[rows], images, metric, out[: len(rows)])
        farthest.append(_squared_distance(sim_mat.amin(dim=1), metric))
        # Its copies are as near as an image is to itself.
        sim_mat[torch.arange(len(rows)), rows] = torch.inf
        neighbours.append(stable_top(sim_mat, count)[1].cpu())
    return torch.cat(neighbours).numpy(), torch.cat(farthest)


def _squared_distance(sim_mat: Tensor, metric: str) -> Tensor:
    return (2 - 2 * sim_mat if metric == "cosine" else -sim_mat).clamp_(min=0)


def _scaled(sim_mat: Tensor, farthest: Tensor, metric: str) -> Tensor:
    """d(p, g); 0 where even the farthest image is a copy."""
    return _squared_distance(sim_mat, metric).div_(farthest.clamp(min=torch.finfo(torch.float32).tiny))


def _reciprocal(neighbours: NDArray[np.int64], k: int) -> sparse.csr_array:
    """R(p, k) as the rows of a matrix of ones (N, N)."""
    is_near = _membership(neighbours[:, : k + 1])
    return is_near.multiply(is_near.T).tocsr()


def _membership(members: NDArray[np.int64]) -> sparse.csr_array:
    """Members (N, K) of N sets as a matrix (N, N) of ones."""
    num_images, count = members.shape
    starts = np.arange(0, members.size + 1, count)
    ones = np.ones(members.size, np.int32)
    return sparse.csr_array((ones, members.ravel(), starts), shape=(num_images, num_images))


def _expanded_sets(neighbours: NDArray[np.int64], k1: int) -> sparse.csr_array:
    """R*(p) as the places of a matrix (N, N) that are not 0."""
    reciprocal = _reciprocal(neighbours, k1)
    smaller = _reciprocal(neighbours, round(k1 / 2))
    sizes = smaller.sum(axis=1)
    # Of p and each q in R(p, k1): how many of R(q, k1/2) are in R(p, k1).
    joined = (reciprocal @ smaller.T).multiply(reciprocal).tocsr()
    joined.data = (3 * joined.data > 2 * sizes[joined.indices]).astype(np.int32)
    joined.eliminate_zeros()
    return reciprocal + joined @ smaller


def _encode(sets: sparse.csr_array, images: Tensor, farthest: Tensor, metric: str) -> sparse.csr_array:
    """V before averaging, (N, N) float32 with rows that sum to 1."""
    counts = np.diff(sets.indptr)
    first, second = np.repeat(np.arange(len(counts)), counts), sets.indices
    similarities = torch.from_numpy(pair_similarity(images, first, second, metric))
    weights = np.exp(-_scaled(similarities, farthest.cpu()[torch.from_numpy(first)], metric).numpy())
    # No row is empty: an image is in its own set.
    weights /= np.repeat(np.add.reduceat(weights, sets.indptr[:-1]), counts)
    return sparse.csr_array((weights, sets.indices, sets.indptr), shape=sets.shape)


def _average(encodings: sparse.csr_array, neighbours: NDArray[np.int64]) -> sparse.csr_array:
    """Each image's encoding, averaged over ``neighbours`` (N, K) of it."""
    averaged = _membership(neighbours).astype(np.float32) @ encodings
    averaged.data /= neighbours.shape[1]
    return averaged

"""The ranks of true matches from lists of the nearest that faiss found, where a list tells them surely."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.evaluation.faiss_flat import FlatIndex
from reid.evaluation.relevance import Rows, relevance
from reid.evaluation.similarity import in_stable_order, pair_similarity

LENGTH = 1024  # of the lists; faiss knows at most 2,048 on GPUs
ROUNDING = 1.1 * 2.0**-24  # relative error of one float32 operation, and a tenth for that of the bound itself


class ListedRanks:
    """Ranks of true matches, among the gallery rows that count, as ``match_ranks`` gives them.

    faiss's products are rounded in an order of its own, which for two rows that are the same need not be the
    same, so they alone cannot tell ties. A float32 product s of D terms, in whatever order it is summed, is
    near the true one:

        |s - s_true| <= e,   e = 1.1 (D + 8) 2^-24 (2 |q| + d)²        for cosine without the last factor

    with d the distance of the list's last row: a row whose length is above |q| + d is farther from q than the
    list reaches. So two products of one pair are within 2e of each other, and

        s_m > s_k + 4e        no row outside the list is ahead of match m or equal to it; s_k the list's last
        |s_g - s_m| > 4e      g and m are in the right order already

    What is nearer to a match than 4e is compared again, with the match, by ``pair_similarity``, which gives
    equal rows equal numbers. So all ranks of a query are those of one set of products.

    Args:
        query: (Q, D) from ``prepare_features``.
        gallery: (G, D) from ``prepare_features``.
        query_labels: (Q,) int64 identities, and cameras.
        gallery_labels: (G,) int64 identities, no -1 among them, and cameras.
        metric: The metric they were prepared for.
        device: Where faiss searches.

    Raises:
        InputError: If faiss is not installed.
    """

    def __init__(
        self,
        query: Tensor,
        gallery: Tensor,
        query_labels: tuple[Tensor, Tensor],
        gallery_labels: tuple[Tensor, Tensor],
        metric: str,
        device: str | torch.device,
    ) -> None:
        self._query, self._gallery = query.cpu(), gallery.cpu()
        self._query_labels, self._gallery_labels = query_labels, gallery_labels
        self._metric = metric
        self._index = FlatIndex(self._gallery, metric, device)
        self._lengths = torch.linalg.vector_norm(self._query, dim=1)
        self.length = min(LENGTH, len(gallery))

    def find(self, rows: Rows, num_matches: NDArray[np.int64]) -> list[Rows | None]:
        """Rank the true matches of some queries.

        Args:
            rows: (B,) queries.
            num_matches: (B,) how many true matches each has.

        Returns:
            For each the ascending (M,) ranks; None where its list does not tell them.
        """
        queries = torch.from_numpy(rows)
        scores, indices = self._index.nearest(self._query[queries], self.length)
        errors = self._errors(queries, scores[:, -1])
        is_match, _ = self._relevance(queries, indices)
        is_told = torch.from_numpy(num_matches) == is_match.sum(dim=1)
        if self.length < len(self._gallery):
            last = scores.masked_fill(~is_match, torch.inf).amin(dim=1)
            is_told &= last > scores[:, -1] + 4 * errors
        found: list[Rows | None] = [None] * len(rows)
        if is_told.any():
            tables = (table[is_told] for table in (queries, scores, indices, is_match, 4 * errors))
            for place, ranks in zip(is_told.nonzero().squeeze(1).tolist(), self._rank(*tables), strict=True):
                found[place] = ranks
        return found

    def _rank(
        self, queries: Tensor, scores: Tensor, indices: Tensor, is_match: Tensor, reach: Tensor
    ) -> list[Rows]:
        """Rank all matches (B, K) of lists that hold them; products within ``reach`` (B,) are unsure."""
        # What is surely behind the last match has no part in its rank.
        last = scores.masked_fill(~is_match, torch.inf).amin(dim=1)
        width = int((scores >= (last - reach)[:, None]).sum(dim=1).max())
        scores, indices, is_match = scores[:, :width].clone(), indices[:, :width], is_match[:, :width]

        places, columns = _near_a_match(scores, is_match, reach).nonzero(as_tuple=True)
        first, second = queries[places].numpy(), indices[places, columns].numpy()
        again = pair_similarity(self._query, first, second, self._metric, self._gallery)
        scores[places, columns] = torch.from_numpy(again)
        _, indices = in_stable_order(scores, indices)

        is_match, is_junk = self._relevance(queries, indices)
        ranks = (~is_junk).cumsum(dim=1).numpy()
        return [row[is_here] for row, is_here in zip(ranks, is_match.numpy(), strict=True)]

    def _errors(self, queries: Tensor, last: Tensor) -> Tensor:
        """The bound e of each query's products, (B,)."""
        unit = (self._query.shape[1] + 8) * ROUNDING
        if self._metric == "cosine":
            return torch.full_like(last, unit)
        return unit * (2 * self._lengths[queries] + (-last).sqrt()).square()

    def _relevance(self, queries: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        labels = [column[queries] for column in self._query_labels]
        return relevance(*labels, *(column[indices] for column in self._gallery_labels))


def _near_a_match(scores: Tensor, is_match: Tensor, reach: Tensor) -> Tensor:
    """Which of the scores (B, K), descending, are within ``reach`` (B,) of a match's; (B, K) bool."""
    before = scores.masked_fill(~is_match, torch.inf).cummin(dim=1).values
    behind = scores.masked_fill(~is_match, -torch.inf).flip(1).cummax(dim=1).values.flip(1)
    return (before - scores <= reach[:, None]) | (scores - behind <= reach[:, None])

"""The ranks of a query's true matches, by counting what is ahead of each: nothing is sorted."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.evaluation.relevance import Rows

TILE = 1 << 17  # gallery rows compared at a time: 512 KB of similarities stay in a core's cache
PAIRS = 1 << 27  # matches times rows that a GPU compares at a time


def match_ranks(similarities: Tensor, matches: Rows, junk: Rows) -> NDArray[np.int64]:
    """Rank a query's true matches among the gallery rows that count for it.

        r_m = 1 + #{g : s_g > s_m} + #{g : s_g = s_m and g before m}        g over the gallery without junk

    The time is that of M comparisons with the whole row at most, less than that of sorting it where M is
    below a hundred or so.

    Args:
        similarities: (G,) float32 of the query to each gallery row; on the CPU the places of junk are
            overwritten.
        matches: (M,) gallery rows of the true matches.
        junk: (J,) gallery rows that leave the ranking.

    Returns:
        (M,) int64, ascending.
    """
    if similarities.device.type == "cpu":
        ahead = count_on_cpu(similarities.numpy(), matches, junk)
    else:
        ahead = count_on_gpu(similarities, matches, junk)
    return np.sort(ahead) + 1


def count_on_cpu(similarities: NDArray[np.float32], matches: Rows, junk: Rows) -> NDArray[np.int64]:
    """How many rows are ahead of each match, a pass over a tile of the row for each."""
    similarities[junk] = -np.inf  # ahead of no match
    scores = similarities[matches]
    ahead = np.zeros(len(matches), np.int64)
    for start in range(0, len(similarities), TILE):
        tile = similarities[start : start + TILE]
        cuts = np.clip(matches - start, 0, len(tile))
        is_near = tile >= scores.min()
        if np.count_nonzero(is_near) < len(tile) // 4:
            # The others are ahead of no match: where the ranking is good, that is nearly all of them.
            near = np.flatnonzero(is_near)
            tile, cuts = tile[near], np.searchsorted(near, cuts)
        for i, (score, cut) in enumerate(zip(scores, cuts.tolist(), strict=True)):
            # Rows before the match win a tie, those behind it do not.
            ahead[i] += np.count_nonzero(tile[:cut] >= score) + np.count_nonzero(tile[cut:] > score)
    return ahead


def count_on_gpu(similarities: Tensor, matches: Rows, junk: Rows) -> NDArray[np.int64]:
    """The same for all matches at once: a GPU wants few and large steps."""
    device = similarities.device
    similarities = similarities.index_fill(0, torch.as_tensor(junk, device=device), -torch.inf)
    places = torch.as_tensor(matches, device=device)[:, None]
    scores = similarities[places]
    ahead = torch.zeros(len(matches), dtype=torch.int64, device=device)
    step = max(1, min(TILE, PAIRS // len(matches)))
    for start in range(0, len(similarities), step):
        tile = similarities[start : start + step]
        is_before = torch.arange(start, start + len(tile), device=device) < places
        ahead += ((tile > scores) | ((tile == scores) & is_before)).sum(dim=1)
    return ahead.cpu().numpy()

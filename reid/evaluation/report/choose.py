"""Which queries a page has room for."""

import numpy as np
from numpy.typing import NDArray

MAX_QUERIES = 200
NUM_HARDEST = 20


def choose_queries(
    precision: NDArray[np.float64],
    was_right: NDArray[np.bool_],
    is_right: NDArray[np.bool_],
    limit: int = MAX_QUERIES,
    num_hardest: int = NUM_HARDEST,
) -> NDArray[np.int64]:
    """Those whose Rank-1 changed, then the hardest, then an even spread of the others.

    The hardest have a place whatever changed, because the page can be filtered by them.

    Args:
        precision: (Q,) average precision under the last model.
        was_right: (Q,) whether Rank-1 is right under the first model.
        is_right: (Q,) the same under the last.
        limit: How many to choose; fewer only where there are fewer.
        num_hardest: How many of them have the lowest average precision, ties in the order of the queries.

    Returns:
        (min(Q, limit),) rows, ascending.
    """
    hardest = np.argsort(precision, kind="stable")[:num_hardest]
    changed = np.setdiff1d(np.flatnonzero(was_right != is_right), hardest)
    chosen = np.union1d(hardest, evenly_spread(changed, limit - len(hardest)))
    others = np.setdiff1d(np.arange(len(precision)), chosen)
    return np.union1d(chosen, evenly_spread(others, limit - len(chosen))).astype(np.int64)


def evenly_spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """At most ``count`` of the rows (N,), evenly spread from the first to the last."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return rows[places.astype(np.int64)]

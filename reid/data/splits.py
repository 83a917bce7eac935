"""What parsers do once their rows are read: pair query with gallery, draw galleries, compare identities."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reid.data.records import Records, Trial
from reid.utils import InputError


def query_and_gallery(query: Records, gallery: Records) -> tuple[Records, tuple[Trial, ...]]:
    """The test records of a set whose query and gallery are fixed, query first, and its one trial."""
    both = query.append(gallery)
    rows = np.arange(len(both))
    return both, (Trial(rows[: len(query)], rows[len(query) :]),)


def draw_one_each(pids: NDArray[np.int64], rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Draw one row of each identity at random.

    Only the raw stream of PCG64 is used, which numpy keeps from version to version and which is the same on
    every platform; what numpy makes of it in ``choice`` or ``integers`` may change.

    Args:
        pids: (N,) identities.
        rows: (M,) the rows to draw from.
        seed: Non-negative.

    Returns:
        One row for each identity among ``rows``, identities in rising order.
    """
    order = rows[np.argsort(pids[rows], kind="stable")]
    _, starts, counts = np.unique(pids[order], return_index=True, return_counts=True)
    raw = np.random.PCG64(seed).random_raw(len(starts))
    return order[starts + (raw % counts.astype(np.uint64)).astype(np.int64)]


def check_disjoint(title: str, train: Records, test: Records, shared: Sequence[int] = ()) -> None:
    """Refuse identities that are both in train and in test.

    Args:
        title: The data set's name.
        train: Training images.
        test: Test images, identities numbered as in ``train``.
        shared: Numbers that are no one's identity, such as Market-1501's distractor.

    Raises:
        InputError: If an identity is in both.
    """
    both = np.setdiff1d(np.intersect1d(train.pids, test.pids), shared)
    if len(both):
        raise InputError(
            f"{title} must not train on identities it tests on, identity {both[0]} is in both "
            f"({len(both)} in all) under {train.root}; unpack the original archive again"
        )

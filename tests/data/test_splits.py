from pathlib import Path

import numpy as np
import pytest

from reid.data import Records
from reid.data.splits import check_disjoint, draw_one_each, query_and_gallery
from reid.utils import InputError

PIDS = np.array([5, 3, 5, 9, 3, 5])


def records(*pids):
    return Records.from_rows(Path("root"), [(f"{row}.jpg", pid, 0) for row, pid in enumerate(pids)])


def test_query_stands_before_gallery():
    both, (trial,) = query_and_gallery(records(1), records(2, 1))
    assert both.pids.tolist() == [1, 2, 1]
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0], [1, 2])


def test_one_row_of_each_identity_is_drawn():
    for seed in range(20):
        drawn = draw_one_each(PIDS, np.arange(6), seed)
        assert PIDS[drawn].tolist() == [3, 5, 9]


def test_only_the_rows_offered_are_drawn():
    assert draw_one_each(PIDS, np.array([4, 2]), seed=0).tolist() == [4, 2]
    assert draw_one_each(PIDS, np.array([], int), seed=0).tolist() == []


def test_seeds_draw_differently_and_every_row_is_as_likely():
    counts = np.zeros(6, int)
    for seed in range(3000):
        counts[draw_one_each(PIDS, np.arange(6), seed)] += 1
    assert counts[3] == 3000
    assert abs(counts[[1, 4]] - 1500).max() < 150
    assert abs(counts[[0, 2, 5]] - 1000).max() < 150


def test_a_draw_is_the_remainder_of_pcg64s_raw_stream():
    """Numbers written down once: another platform or numpy must draw the same."""
    pids = np.repeat(np.arange(6), 7)
    assert draw_one_each(pids, np.arange(42), seed=0).tolist() == [0, 11, 15, 26, 34, 36]


def test_identities_of_train_in_test_are_refused_but_for_shared_numbers():
    check_disjoint("Set", records(0, 1), records(0, 2), shared=[0])
    check_disjoint("Set", records(), records(2))
    with pytest.raises(InputError, match=r"identity 1 is in both \(2 in all\) under root; unpack"):
        check_disjoint("Set", records(0, 1, 4), records(0, 4, 1), shared=[0])

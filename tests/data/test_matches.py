import numpy as np
import pytest
import torch

from reid.data import Records, Trial
from reid.data.matches import count_matches
from reid.evaluation.relevance import relevance


def test_matches_by_hand(tmp_path):
    rows = [("q", 1, 0), ("q", 1, -1), ("q", 2, 0), ("q", -1, 0)]
    rows += [("g", 1, 0), ("g", 1, 1), ("g", 1, -1), ("g", 3, 1), ("g", -1, 1)]
    records = Records.from_rows(tmp_path, rows)
    # Camera 0 sees the first query and the first gallery image; the second query's camera equals none.
    assert count_matches(records, Trial(np.arange(4), np.arange(4, 9))).tolist() == [2, 3, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_matches_are_those_of_the_evaluation(tmp_path, seed):
    rng = np.random.default_rng(seed)
    pids, camids = rng.integers(-1, 8, 60), rng.integers(-1, 3, 60)
    records = Records(tmp_path, np.array(["x"] * 60), pids, camids)
    query, gallery = np.split(rng.permutation(60), [20])
    known = gallery[pids[gallery] >= 0]
    labels = (torch.from_numpy(column[rows]) for rows in (query, known) for column in (pids, camids))
    expected = relevance(*labels)[0].sum(dim=1).tolist()
    assert count_matches(records, Trial(query, gallery)).tolist() == expected


def test_nothing_matches_nothing(tmp_path):
    records = Records.from_rows(tmp_path, [("q", 1, 0)])
    nobody = np.array([], np.int64)
    assert count_matches(records, Trial(np.array([0]), nobody)).tolist() == [0]
    assert count_matches(records, Trial(nobody, np.array([0]))).tolist() == []

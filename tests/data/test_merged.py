from pathlib import Path

import numpy as np
import pytest

from reid.data import Records, ReIDDataset
from reid.data.merged import merge_training


def dataset(root, name, rows, rule="train"):
    train = Records.from_rows(Path(root), rows)
    return ReIDDataset(name, name.upper(), rule, train, Records.empty(Path(root)), ())


def test_identities_and_cameras_of_two_sets_do_not_collide():
    first = dataset("/data/a", "a", [("x.jpg", 7, 3), ("y.jpg", 2, 0), ("z.jpg", 7, -1)])
    second = dataset("/data/b/deep", "b", [("x.jpg", 2, 3), ("q/w.jpg", -1, 0)], "train+val")
    merged = merge_training([first, second])
    assert merged.train.root == Path("/data")
    assert merged.train.paths.tolist() == ["a/x.jpg", "a/y.jpg", "a/z.jpg", "b/deep/x.jpg", "b/deep/q/w.jpg"]
    assert merged.train.pids.tolist() == [1, 0, 1, 2, -1]
    assert merged.train.camids.tolist() == [1, 0, -1, 3, 2]
    assert (merged.name, merged.title, merged.train_rule) == ("a+b", "A train and B train+val", "merged")
    assert (len(merged.test), merged.trials) == (0, ())


@pytest.mark.parametrize("seed", range(3))
def test_merging_keeps_who_is_who_and_nothing_else(seed):
    """Two rows share an identity, or a camera, after merging just where they did within one set."""
    rng = np.random.default_rng(seed)
    sets = [
        dataset(f"/d/{n}", str(n), [(f"{i}.jpg", *rng.integers(-1, 5, 2)) for i in range(12)])
        for n in range(3)
    ]
    merged = merge_training(sets).train
    rows = [
        (n, *pair)
        for n, one in enumerate(sets)
        for pair in zip(one.train.pids, one.train.camids, strict=True)
    ]
    for column, values in ((1, merged.pids), (2, merged.camids)):
        for i, row in enumerate(rows):
            assert (values[i] == -1) == (row[column] == -1)
            for j, other in enumerate(rows):
                same = (row[0] == other[0] and row[column] == other[column]) or row[column] == other[
                    column
                ] == -1
                assert (values[i] == values[j]) == same


def test_views_of_two_sets_do_not_collide():
    first = dataset("/data", "a", [("x.jpg", 1, 0, 6), ("y.jpg", 1, 0, -1), ("z.jpg", 1, 0, 2)])
    second = dataset("/data", "b", [("v.jpg", 1, 0), ("w.jpg", 1, 0)])
    third = dataset("/data", "c", [("t.jpg", 1, 0, 2), ("u.jpg", 1, 0, 0)])
    merged = merge_training([first, second, third]).train
    assert merged.viewids.tolist() == [1, -1, 0, -1, -1, 3, 2]


def test_absolute_and_shared_roots():
    first = dataset("/data", "a", [("/elsewhere/x.jpg", 1, 0)])
    second = dataset("/data", "b", [("y.jpg", 1, 0)])
    merged = merge_training([first, second]).train
    assert [merged.path(row) for row in range(2)] == [Path("/elsewhere/x.jpg"), Path("/data/y.jpg")]


def test_a_single_set_with_training_images_stays_as_it_is():
    first, empty = dataset("/a", "a", [("x.jpg", 9, 4)]), dataset("/b", "b", [])
    assert merge_training([first]) is first
    assert merge_training([empty, first]) is first
    assert merge_training([empty]) is empty

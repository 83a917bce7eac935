import sys

import numpy as np
import pytest

from reid.adaptation import reciprocity
from reid.adaptation.reciprocity import DEPTH
from reid.utils import InputError

pytest.importorskip("faiss")


def column(*values):
    return np.array(values, np.float32)[:, None]


def possible(features, camids, i, depth=DEPTH):
    """All values that b(i) may take, by the definition: ties may be broken in any way."""

    def others(j):
        far = [
            (float(np.sum((features[j].astype(float) - features[m]) ** 2)), m)
            for m in range(len(features))
            if camids[m] != camids[j]
        ]
        return sorted(far)

    near = others(i)
    found = set()
    for distance, j in near:
        if distance > near[0][0]:
            break
        back = others(j)
        own = next(d for d, m in back if m == i)
        closer, tied = sum(d < own for d, _ in back), sum(d == own for d, _ in back)
        found |= {1 / rank if rank <= depth else 0.0 for rank in range(closer + 1, closer + tied + 1)}
    return found or {0.0}


def test_the_way_back_by_hand():
    # Camera 0: 0.0, 1.0, 9.0; camera 1: 1.2, 2.0. From 0.0 to 1.2, whose nearest is 1.0, then 0.0: 1/2.
    # From 1.0 to 1.2 and back: 1. From 9.0 to 2.0, whose nearest are 1.0, 0.0, 9.0: 1/3.
    # From 1.2 to 1.0 and back: 1. From 2.0 to 1.0, whose nearest are 1.2, 2.0: 1/2.
    features, camids = column(0.0, 1.0, 9.0, 1.2, 2.0), np.array([0, 0, 0, 1, 1])
    np.testing.assert_allclose(reciprocity(features, camids), [1 / 2, 1, 1 / 3, 1, 1 / 2])


def test_an_image_beyond_the_tenth_rank_is_not_found():
    # One image of camera 1, eleven of camera 0 ever farther from it.
    features, camids = column(0.0, *range(1, 12)), np.array([1] + 11 * [0])
    found = reciprocity(features, camids)
    np.testing.assert_allclose(found, [1, *(1 / rank for rank in range(1, 11)), 0])


@pytest.mark.parametrize("cameras", [1, 2, 3, 4])
def test_agrees_with_a_plain_loop(cameras):
    rng = np.random.default_rng(cameras)
    features, camids = rng.normal(size=(60, 6)).astype(np.float32), rng.integers(0, cameras, 60)
    expected = [possible(features, camids, i) for i in range(60)]
    assert all(len(values) == 1 for values in expected)
    found = reciprocity(features, camids)
    np.testing.assert_allclose(found, [min(values) for values in expected])
    if cameras > 1:
        assert 0.1 < found.mean() < 0.9


@pytest.mark.parametrize("cameras", [2, 3, 4])
def test_ties_are_broken_in_some_way(cameras):
    rng = np.random.default_rng(cameras)
    features, camids = rng.integers(0, 3, (40, 2)).astype(np.float32), rng.integers(0, cameras, 40)
    for i, value in enumerate(reciprocity(features, camids)):
        assert any(np.isclose(value, b) for b in possible(features, camids, i))


def test_the_order_of_images_does_not_matter():
    rng = np.random.default_rng(0)
    features, camids = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 3, 50)
    order = rng.permutation(50)
    np.testing.assert_array_equal(
        reciprocity(features[order], camids[order]), reciprocity(features, camids)[order]
    )


def test_the_names_of_cameras_do_not_matter():
    rng = np.random.default_rng(0)
    features, camids = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 3, 50)
    names = np.array([2**40, -7, 2**62])
    np.testing.assert_array_equal(reciprocity(features, names[camids]), reciprocity(features, camids))


def test_one_camera_has_no_way():
    assert reciprocity(column(1.0, 2.0, 3.0), np.zeros(3, np.int64)).tolist() == [0, 0, 0]


def test_an_image_whose_nearest_was_not_found_has_no_way(monkeypatch):
    """Of many images the search misses some; the last one's list is not theirs."""
    nearest = np.array([[-1, -1], [2, -1], [0, 1]])
    found = (np.zeros((3, 2), np.float32), nearest)
    module = sys.modules["reid.adaptation.reciprocity"]  # the package has a function of that name
    monkeypatch.setattr(module, "cross_camera_neighbours", lambda *_: found)
    monkeypatch.setattr(module, "DEPTH", 2)
    assert reciprocity(column(0.0, 1.0, 2.0), np.array([0, 0, 1])).tolist() == [0, 0.5, 0]


@pytest.mark.parametrize(("camids", "expected"), [([0, 1], [1, 1]), ([0, 0], [0, 0])])
def test_two_images(camids, expected):
    assert reciprocity(column(1.0, 2.0), np.array(camids)).tolist() == expected


def test_one_image_and_none():
    assert reciprocity(column(1.0), np.array([0])).tolist() == [0]
    assert reciprocity(np.empty((0, 3), np.float32), np.empty(0, np.int64)).tolist() == []


def test_copies_of_one_image_give_a_rank_among_them():
    found = reciprocity(np.ones((30, 3), np.float32), np.arange(30) % 2)
    assert np.isfinite(found).all()
    assert 0 <= found.min() <= found.max() <= 1


def test_refusals():
    with pytest.raises(InputError, match="each of the 2 images needs a camera, got 3"):
        reciprocity(column(1.0, 2.0), np.array([0, 1, 2]))
    with pytest.raises(InputError, match="finite"):
        reciprocity(column(1.0, np.nan), np.array([0, 1]))

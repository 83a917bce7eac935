import numpy as np
import pytest

from reid.adaptation import tracklet_pairs
from reid.adaptation.tracklets import MOST_PAIRS
from reid.utils import InputError


def loop(tracklets, most):
    """By the definition, one tracklet at a time; those that are spread are checked apart."""
    found = []
    for name in sorted(set(tracklets) - {-1}):
        rows = [row for row, number in enumerate(tracklets) if number == name]
        apart = (len(rows) + 1) // 2
        pairs = [[rows[i], rows[i + apart]] for i in range(len(rows) - apart)]
        assert len(pairs) <= most
        found += pairs
    return sorted(found)


def test_tracklets_of_one_to_five_images_by_hand():
    tracklets = np.array([7, 8, 8, 9, 9, 9, 3, 3, 3, 3, 5, 5, 5, 5, 5])
    # 7 is alone; 8: 1-2; 9: 3-5; 3: 6-8, 7-9; 5: 10-13, 11-14.
    assert tracklet_pairs(tracklets).tolist() == [[1, 2], [3, 5], [6, 8], [7, 9], [10, 13], [11, 14]]


def test_images_of_none_are_left_out():
    assert tracklet_pairs(np.array([-1, 4, -1, -1, 4, -5, -5])).tolist() == [[1, 4]]


def test_rows_of_tracklets_may_be_mixed():
    rng = np.random.default_rng(0)
    for _ in range(20):
        tracklets = rng.integers(-1, 9, 60)
        assert tracklet_pairs(tracklets).tolist() == loop(tracklets.tolist(), MOST_PAIRS)


@pytest.mark.parametrize("most", [1, 3, MOST_PAIRS])
def test_a_long_tracklet_gives_as_many_pairs_as_are_allowed_spread_over_it(most):
    pairs = tracklet_pairs(np.zeros(1000, np.int64), most)
    assert len(pairs) == most
    assert len(np.unique(pairs)) == 2 * most
    assert (pairs[:, 1] - pairs[:, 0] == 500).all()
    assert pairs[0].tolist() == [0, 500]
    if most > 1:
        assert pairs[-1].tolist() == [499, 999]
        assert np.ptp(np.diff(pairs[:, 0])) <= 1


def test_a_long_tracklet_does_not_take_from_a_short_one():
    pairs = tracklet_pairs(np.array([1, 1] + 500 * [0]))
    assert len(pairs) == 1 + MOST_PAIRS
    assert pairs[0].tolist() == [0, 1]


def test_huge_numbers_are_names_alone():
    assert tracklet_pairs(np.array([2**62, 2**40, 2**62])).tolist() == [[0, 2]]


@pytest.mark.parametrize("tracklets", [[], [1], [-1, -1], [1, 2, 3], [-1, 4]])
def test_no_tracklet_of_two_images_is_refused(tracklets):
    with pytest.raises(InputError, match="no tracklet has two images: the pid column must number") as caught:
        tracklet_pairs(np.array(tracklets, np.int64))
    assert "\n" not in str(caught.value)

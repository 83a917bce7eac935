import numpy as np
import pytest

from reid.data import relabel
from reid.utils import InputError


def test_toy_identities_are_numbered_in_sorted_order():
    labels, num_classes = relabel(np.array([7, 2, 7, 1501, 0]))
    assert labels.tolist() == [2, 1, 2, 3, 0]
    assert labels.dtype == np.int64
    assert num_classes == 4


def test_against_a_plain_loop():
    pids = np.random.default_rng(0).integers(0, 50, 300)
    known = sorted(set(pids.tolist()))
    labels, num_classes = relabel(pids)
    assert labels.tolist() == [known.index(pid) for pid in pids.tolist()]
    assert num_classes == len(known)


def test_labels_are_their_own_labels_and_order_does_not_matter():
    rng = np.random.default_rng(1)
    pids = rng.integers(0, 1000, 60)
    labels, num_classes = relabel(pids)
    order = rng.permutation(60)
    np.testing.assert_array_equal(relabel(pids[order])[0], labels[order])
    np.testing.assert_array_equal(relabel(labels)[0], labels)
    assert relabel(labels)[1] == num_classes


def test_no_images_and_one_identity():
    assert relabel(np.array([], np.int64))[1] == 0
    labels, num_classes = relabel(np.array([9, 9]))
    assert (labels.tolist(), num_classes) == ([0, 0], 1)


def test_unknown_identities_are_refused():
    with pytest.raises(InputError, match=r"2 of 4 have none \(-1\)"):
        relabel(np.array([-1, 3, -1, 4]))

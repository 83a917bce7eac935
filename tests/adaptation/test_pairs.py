import numpy as np
import pytest

from reid.adaptation import cross_camera_pairs, mutual_pairs
from reid.utils import InputError

pytest.importorskip("faiss")


def column(*values):
    return np.array(values, np.float32)[:, None]


def oracle(features, camids, k):
    """Mutual neighbours by the definition, one image at a time."""
    near = []
    for i, x in enumerate(features):
        others = [j for j in range(len(features)) if j != i and (camids is None or camids[j] != camids[i])]
        near.append(sorted(others, key=lambda j: (np.sum((x - features[j]) ** 2), j))[:k])
    return [
        [i, j] for i in range(len(near)) for j in range(i + 1, len(near)) if j in near[i] and i in near[j]
    ]


def test_the_nearest_of_another_camera_by_hand():
    # 0.0 and 0.1 are nearest to each other but of one camera; 0.1 and 0.3 pair, and 5.0 with 6.0.
    features, camids = column(0.0, 0.1, 0.3, 5.0, 6.0), np.array([0, 0, 1, 0, 1])
    assert cross_camera_pairs(features, camids, 1).tolist() == [[1, 2], [3, 4]]


def test_without_cameras_the_nearest_of_all():
    assert mutual_pairs(column(0.0, 0.1, 0.3, 5.0, 6.0), 1).tolist() == [[0, 1], [3, 4]]


@pytest.mark.parametrize("k", [1, 2, 3, 50])
@pytest.mark.parametrize("cameras", [2, 3, 7])
def test_agrees_with_the_definition(k, cameras):
    rng = np.random.default_rng(k * 10 + cameras)
    features, camids = rng.normal(size=(40, 5)).astype(np.float32), rng.integers(0, cameras, 40)
    assert cross_camera_pairs(features, camids, k).tolist() == oracle(features, camids, k)
    assert mutual_pairs(features, min(k, 30)).tolist() == oracle(features, None, min(k, 30))


def test_copies_of_an_image_pair_with_each_other():
    features = np.repeat(column(1.0, 9.0), 3, axis=0)
    assert mutual_pairs(features, 2).tolist() == [[0, 1], [0, 2], [1, 2], [3, 4], [3, 5], [4, 5]]


def test_one_camera_has_no_pairs():
    assert cross_camera_pairs(column(1.0, 2.0), np.array([4, 4])).shape == (0, 2)


def test_the_order_of_images_does_not_matter():
    rng = np.random.default_rng(0)
    features, camids = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(0, 3, 30)
    order = rng.permutation(30)
    again = order[cross_camera_pairs(features[order], camids[order])]
    as_sets = {frozenset(pair) for pair in again.tolist()}
    assert as_sets == {frozenset(pair) for pair in cross_camera_pairs(features, camids).tolist()}


def test_refusals():
    with pytest.raises(InputError, match="k = 0"):
        mutual_pairs(column(1.0, 2.0), 0)
    with pytest.raises(InputError, match="each of the 2 images needs a camera, got 3"):
        cross_camera_pairs(column(1.0, 2.0), np.array([0, 1, 2]))
    with pytest.raises(InputError, match="finite"):
        mutual_pairs(column(1.0, np.nan))


def test_more_copies_than_neighbours_never_pair_an_image_with_itself():
    pairs = mutual_pairs(np.ones((6, 2), np.float32), 1)
    assert (pairs[:, 0] != pairs[:, 1]).all()

import numpy as np
import pytest

from reid.adaptation import cross_camera_neighbours, cross_camera_pairs, mutual_pairs
from reid.adaptation.search import ExactSearch, ListSearch

pytest.importorskip("faiss")


def outside(rows, query, start, end, k):
    """Distances and places by the definition, padded with infinity and -1."""
    places = [place for place in range(len(rows)) if not start <= place < end]
    distance = {place: float(np.sum((rows[query].astype(float) - rows[place]) ** 2)) for place in places}
    near = sorted(places, key=distance.__getitem__)[:k]
    missing = k - len(near)
    return [distance[place] for place in near] + missing * [np.inf], near + missing * [-1]


def people(ids, dims=16, cameras=2, seed=0):
    """Every identity once a camera, its images much nearer to each other than to others."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(ids, dims))
    views = [centres + 0.05 * rng.normal(size=centres.shape) for _ in range(cameras)]
    return np.concatenate(views).astype(np.float32), np.repeat(np.arange(cameras), ids)


@pytest.mark.parametrize(("start", "end"), [(0, 12), (12, 30), (30, 40), (0, 40), (5, 5), (0, 0)])
@pytest.mark.parametrize("k", [1, 3, 60])
def test_exact_search_agrees_with_a_plain_loop(start, end, k):
    rng = np.random.default_rng(k)
    features, order = rng.normal(size=(40, 5)).astype(np.float32), rng.permutation(40)
    distances, places = ExactSearch(features, order).outside(slice(3, 33), start, end, k)
    assert distances.dtype == np.float32
    for row, query in enumerate(range(3, 33)):
        far, near = outside(features[order], query, start, end, k)
        assert places[row].tolist() == near
        np.testing.assert_allclose(distances[row], far, atol=1e-4)


def test_list_search_finds_most_neighbours_and_none_inside_the_range():
    features, camids = people(3000)
    search = ListSearch(features, np.argsort(camids, kind="stable"))
    distances, places = search.outside(slice(0, 3000), 0, 3000, 2)
    assert ((places >= 3000) | (places == -1)).all()
    assert (places[:, 0] == np.arange(3000) + 3000).mean() > 0.95
    assert np.isinf(distances[places < 0]).all()
    assert np.isfinite(distances[places >= 0]).all()
    assert (distances[:, 0] <= distances[:, 1]).all()


def test_list_search_in_a_given_order():
    features, _ = people(400)
    order = np.random.default_rng(1).permutation(len(features))
    search = ListSearch(features, order)
    _, places = search.outside(slice(0, 800), 100, 200, 3)
    assert not ((places >= 100) & (places < 200)).any()
    # Outside the range an image is its own nearest, at its place.
    itself = np.r_[0:100, 200:800]
    assert (places[itself, 0] == itself).mean() > 0.99


def test_list_search_gives_the_same_twice():
    features, camids = people(500, cameras=3)
    first, again = (ListSearch(features, np.argsort(camids)).outside(slice(0, 500), 0, 500, 4) for _ in "12")
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@pytest.fixture
def many(monkeypatch):
    """Two thousand images count as many, and blocks are small."""
    monkeypatch.setattr("reid.adaptation.pairs.MOST_EXACT", 1999)
    monkeypatch.setattr("reid.adaptation.pairs.BLOCK", 700)
    searches = []

    class Recorded(ListSearch):
        def __init__(self, *args):
            searches.append(len(args[1]))
            super().__init__(*args)

    monkeypatch.setattr("reid.adaptation.pairs.ListSearch", Recorded)
    return searches


def test_pairs_of_many_images_are_sought_in_lists(many):
    features, camids = people(1000)
    truth = {(i, i + 1000) for i in range(1000)}
    found = {tuple(pair) for pair in cross_camera_pairs(features, camids, 1).tolist()}
    assert many == [2000]
    assert len(found & truth) > 950
    assert len(found - truth) < 50
    assert len({tuple(pair) for pair in mutual_pairs(features, 1).tolist()} & truth) > 950
    assert many == [2000, 2000]
    cross_camera_pairs(features[:1999], camids[:1999], 1)
    assert many == [2000, 2000]


def test_neighbours_in_lists_are_of_other_cameras_whatever_the_order(many):
    features, camids = people(700, cameras=3)
    order = np.random.default_rng(2).permutation(len(features))
    features, camids = features[order], camids[order]
    distances, rows = cross_camera_neighbours(features, camids, 3)
    found = rows >= 0
    assert found.mean() > 0.95
    assert (camids[rows] != camids[:, None])[found].all()
    exact = np.sum((features[:, None] - features[rows]) ** 2, axis=2)
    np.testing.assert_allclose(distances[found], exact[found], rtol=0.05, atol=0.01)


def test_many_images_of_one_camera_have_no_neighbours(many):
    features, _ = people(1000)
    assert len(cross_camera_pairs(features, np.zeros(2000, np.int64))) == 0
    assert many == [2000]


def test_many_copies_of_one_image_are_paired_with_copies(many):
    camids = np.arange(2000) % 2
    _, rows = cross_camera_neighbours(np.ones((2000, 4), np.float32), camids, 2)
    found = rows >= 0
    assert (camids[rows] != camids[:, None])[found].all()

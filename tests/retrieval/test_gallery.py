"""A gallery finds by id what a plain loop finds, before and after changes, files and threads."""

import doctest
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import reid.retrieval.gallery
from reid import Gallery
from reid.evaluation import array_files
from reid.utils import InputError

pytest.importorskip("faiss")


@pytest.fixture
def feats():
    return np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)


@pytest.fixture
def gallery(feats):
    gallery = Gallery(8)
    gallery.add(feats, np.arange(100, 130))
    return gallery


def nearest(query, feats, ids, k, metric):
    """Ids and scores, by a plain loop."""
    found = []
    for place, row in enumerate(feats):
        cosine = float(query @ row / np.linalg.norm(query) / np.linalg.norm(row))
        score = cosine if metric == "cosine" else -float(((query - row) ** 2).sum())
        found.append((-score, place))
    best = sorted(found)[:k]
    return [int(ids[place]) for _, place in best], [-score for score, _ in best]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_it_finds_what_a_plain_loop_finds(feats, metric):
    gallery, ids = Gallery(8, metric), np.random.default_rng(1).permutation(30) * 7
    gallery.add(feats[:11], ids[:11])
    gallery.add(torch.from_numpy(feats[11:]), ids[11:].tolist())
    queries = np.random.default_rng(2).standard_normal((6, 8)).astype(np.float32)
    found, scores = gallery.search(queries, 5)
    for query, row, score in zip(queries, found.tolist(), scores.tolist(), strict=True):
        expected, values = nearest(query, feats, ids, 5, metric)
        assert row == expected
        assert score == pytest.approx(values, abs=1e-4)


def test_by_hand_with_a_tie_and_more_than_there_are():
    gallery = Gallery(2)
    gallery.add([[0.0, 2.0], [1.0, 0.0], [3.0, 0.0]], [9, 5, 4])
    ids, scores = gallery.search([2.0, 0.0], 10)
    assert ids.tolist() == [[5, 4, 9]]
    assert scores.tolist() == [[1.0, 1.0, 0.0]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 2, 3, 40, 63, 64])
def test_of_equal_scores_the_first_are_kept_at_the_last_place_too(metric, k):
    """Copies of a feature, more than are asked for, among others: faiss alone keeps any of them."""
    feats = np.zeros((64, 4), np.float32)
    feats[:, 0] = 1
    feats[[5, 20], 0], feats[[5, 20], 1] = 0.5, 0.5
    gallery = Gallery(4, metric)
    gallery.add(feats, np.arange(64))
    ids, _ = gallery.search([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0]], k)
    same = [n for n in range(64) if n not in (5, 20)]
    assert ids[0].tolist() == ([*same, 5, 20])[:k]
    assert ids[1].tolist() == ([5, 20, *same])[:k]


def test_what_is_removed_is_not_found_and_its_id_is_free(gallery, feats):
    gallery.remove([103, 129, 100])
    assert len(gallery) == 27
    assert 103 not in gallery
    assert 104 in gallery
    kept = [n for n in range(30) if n not in (0, 3, 29)]
    assert gallery.ids.tolist() == [100 + n for n in kept]
    ids, _ = gallery.search(feats[kept], 1)
    assert ids[:, 0].tolist() == [100 + n for n in kept]
    gallery.add(feats[3], [103])
    assert gallery.search(feats[3], 1)[0].tolist() == [[103]]


def test_a_file_keeps_it_to_the_bit(gallery, feats, tmp_path):
    gallery.save(tmp_path / "g.npz")
    again = Gallery.load(tmp_path / "g.npz")
    for found, expected in zip(again.search(feats, 7), gallery.search(feats, 7), strict=True):
        assert torch.equal(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["g.npz"]


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(gallery, feats, tmp_path, monkeypatch):
    """Ids of one gallery and features of another would be found without a fault."""
    path = tmp_path / "g.npz"
    gallery.save(path)
    other = Gallery(8)
    other.add(feats[::-1], gallery.ids)
    read = array_files._read_npy

    def replace_then_read(*words):
        other.save(path)
        return read(*words)

    monkeypatch.setattr(array_files, "_read_npy", replace_then_read)
    again = Gallery.load(path)
    assert torch.equal(again.search(feats, 1)[0], gallery.search(feats, 1)[0])


def test_an_empty_one_is_kept_too(tmp_path):
    Gallery(3, "euclidean").save(tmp_path / "g.npz")
    again = Gallery.load(tmp_path / "g.npz")
    assert (len(again), again.dim, again.metric) == (0, 3, "euclidean")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 damaged"])
def test_damaged_files(tmp_path, content):
    (tmp_path / "g.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"g\.npz"):
        Gallery.load(tmp_path / "g.npz")


def test_files_cut_short_or_of_another_kind(gallery, tmp_path):
    gallery.save(tmp_path / "g.npz")
    whole = (tmp_path / "g.npz").read_bytes()
    for size in range(1, len(whole), 97):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.npz"):
            Gallery.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", features=np.zeros((2, 3)))
    with pytest.raises(InputError, match="no gallery"):
        Gallery.load(tmp_path / "other.npz")
    with pytest.raises(InputError, match="gallery not found"):
        Gallery.load(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"an \.npz file"):
        gallery.save(tmp_path / "g.bin")


def test_a_bad_row_late_in_the_table_leaves_it_as_it_was(gallery, monkeypatch):
    monkeypatch.setattr(reid.retrieval.gallery, "ROWS", 2)
    rows = np.ones((5, 8))
    rows[4, 1] = np.inf
    with pytest.raises(InputError, match=r"from row 4 on.*first: row 0"):
        gallery.add(rows, range(5))
    assert len(gallery) == 30
    gallery.add(rows[:4], range(4))
    assert gallery.ids[-4:].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (np.zeros((1, 7)), [1], "width of 8, got 7"),
        (np.full((1, 8), np.nan), [1], "finite"),
        (np.ones((2, 8)), [1], "one for each of 2"),
        (np.ones((2, 8)), [1, 1], "1 comes twice"),
        (np.ones((2, 8)), [1, 105], "id 105 is in the gallery"),
        (np.ones((1, 8)), [-1], "whole numbers"),
        (np.ones((1, 8)), [1.5], "whole numbers"),
        (np.ones((1, 8)), ["a"], "whole numbers"),
        (np.ones((1, 8)), [2**63], "whole numbers"),
        (np.ones((1, 8)), np.array([2**64 - 1], np.uint64), "whole numbers"),
        (np.ones((1, 8)), [True], "whole numbers"),
        (np.ones((2, 8)), [[1], [2, 3]], "whole numbers"),
        (np.ones((1, 8), complex), [1], "real numbers"),
        (np.full((1, 8), "a"), [1], "of numbers"),
        ([[1.0] * 8, [1.0] * 7], [1, 2], "of numbers"),
        (None, [1], "of numbers"),
        (np.ones((1, 8), object), [1], "of numbers"),
    ],
)
def test_what_cannot_be_added_leaves_it_as_it_was(gallery, rows, ids, message):
    before = gallery.ids
    with pytest.raises(InputError, match=message):
        gallery.add(rows, ids)
    assert np.array_equal(gallery.ids, before)


def test_other_refusals(gallery):
    with pytest.raises(InputError, match="id 7 is not in the gallery"):
        gallery.remove([100, 7])
    assert len(gallery) == 30
    with pytest.raises(InputError, match="k, the number"):
        gallery.search(np.ones((1, 8)), 0)
    for k in (2.5, "2", None, -1):
        with pytest.raises(InputError, match=f"whole number of at least 1, got {k}"):
            gallery.search(np.ones((1, 8)), k)
    with pytest.raises(InputError, match="is empty"):
        Gallery(8).search(np.ones((1, 8)), 1)
    for metric in ("dot", None):
        with pytest.raises(InputError, match="metric"):
            Gallery(8, metric)
    for path in (None, "", 3):
        with pytest.raises(InputError, match="a path must be the text of one"):
            Gallery.load(path)
    for dim in (0, 2**31, 10**20):
        with pytest.raises(InputError, match="dim"):
            Gallery(dim)


def test_a_frame_without_boxes_adds_and_finds_nothing(gallery):
    nothing = torch.empty(0, 8)
    gallery.add(nothing, [])
    assert len(gallery) == 30
    ids, scores = gallery.search(nothing, 3)
    assert (ids.shape, ids.dtype, scores.shape) == ((0, 3), torch.int64, (0, 3))
    with pytest.raises(InputError, match="width of 8"):
        gallery.add(torch.empty(0, 7), [])


def test_views_of_arrays_are_taken(feats):
    gallery = Gallery(8)
    gallery.add(feats[::-1], range(30))
    assert gallery.search(feats[::-2], 1)[0][:, 0].tolist() == list(range(0, 30, 2))
    assert gallery.search(feats[::-1][:1], 1)[0].tolist() == [[0]]


def test_it_tells_what_it_is(gallery):
    assert repr(gallery) == "Gallery(30 features of 8 numbers, cosine)"


@pytest.mark.parametrize("rows", [torch.ones(1, 8).to_sparse(), torch.ones(1, 8, device="meta")])
def test_tensors_without_numbers_are_refused(gallery, rows):
    with pytest.raises(InputError, match="features must be a"):
        gallery.search(rows, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": np.array("l9")}, "metric"),
        ({"ids": np.array([0.5, 1.5])}, "no whole gallery"),
        ({"ids": np.array([1, 1])}, "1 comes twice"),
        ({"ids": np.array([1])}, "one for each of 2"),
        ({"ids": np.array(["a", "b"])}, "no whole gallery"),
        ({"ids": np.array([-1, 1])}, "whole numbers"),
        ({"features": np.full((2, 3), np.nan, np.float32)}, "finite"),
        ({"features": np.ones((2, 3))}, "no whole gallery"),
        ({"mark": np.ones(2, np.float32)}, "a mark must be"),
        ({"mark": np.full(3, np.nan, np.float32)}, "a mark must be"),
        ({"mark": np.array("text")}, "a mark must be"),
        ({"features": np.ones((0, 0), np.float32), "ids": np.array([], np.int64)}, "dim"),
    ],
)
def test_a_file_that_holds_no_gallery_is_named(tmp_path, changes, message):
    whole = {
        "kind": "denoisereid-gallery-1",
        "metric": "cosine",
        "ids": [0, 1],
        "features": np.eye(2, 3, dtype="f4"),
    }
    np.savez(tmp_path / "g.npz", **whole)
    assert len(Gallery.load(tmp_path / "g.npz")) == 2
    np.savez(tmp_path / "g.npz", **whole | changes)
    with pytest.raises(InputError, match=r"g\.npz is no whole gallery.*") as refused:
        Gallery.load(tmp_path / "g.npz")
    assert message in str(refused.value)
    with pytest.raises(InputError, match=r"an \.npz file that Gallery.save wrote"):
        Gallery.load("README.md")


def test_threads_take_turns(feats):
    gallery = Gallery(8)
    gallery.add(feats, range(30))

    def work(n):
        gallery.add(feats[n] + 100, [1000 + n])
        found = gallery.search(feats[n], 1)[0].item()
        gallery.remove([1000 + n])
        return found

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(30))) == list(range(30))
    assert gallery.ids.tolist() == list(range(30))


def test_examples():
    assert doctest.testmod(reid.retrieval.gallery).failed == 0


@pytest.mark.slow
def test_a_million_features(tmp_path):
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(1_000_000, 64, generator=generator)
    gallery = Gallery(64)
    gallery.add(feats, np.arange(1_000_000))
    gallery.remove(np.arange(0, 1_000_000, 2))
    gallery.save(tmp_path / "g.npz")
    again = Gallery.load(tmp_path / "g.npz")
    ids, _ = again.search(feats[1:21:2], 2)
    assert ids[:, 0].tolist() == list(range(1, 21, 2))

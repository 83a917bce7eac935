import logging
import sys

import pytest
import torch
from naive_metrics import naive_search

from reid.evaluation import search, torch_search
from reid.evaluation.faiss_approximate import ApproximateIndex
from reid.utils import InputError

faiss = pytest.importorskip("faiss")
both = pytest.mark.parametrize("find", [search, torch_search], ids=["faiss", "torch"])
each_index = pytest.mark.parametrize("index", ["ivf", "hnsw"])
each_metric = pytest.mark.parametrize("metric", ["cosine", "euclidean"])


def features(rows, width=8, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def signs(rows, seed):
    """Rows of four ones and minus ones: lengths and products are exact, and most similarities are shared."""
    return torch.randint(0, 2, (rows, 4), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


@both
def test_toy_cosine_search(find):
    gallery = torch.tensor([[0.0, 2.0], [1.0, 0.0], [3.0, 3.0]])
    scores, indices = find(torch.tensor([[5.0, 0.0]]), gallery, 3)
    assert indices.tolist() == [[1, 2, 0]]
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0.5**0.5, 0.0]]))


@both
def test_toy_euclidean_search_gives_minus_squared_distances(find):
    gallery = torch.tensor([[0.0, 2.0], [1.0, 0.0], [3.0, 3.0]])
    scores, indices = find(torch.tensor([[5.0, 0.0]]), gallery, 2, metric="euclidean")
    assert indices.tolist() == [[2, 1]]
    assert scores.tolist() == [[-13.0, -16.0]]


@both
@each_metric
def test_agrees_with_the_plain_loops_on_distinct_similarities(find, metric):
    query, gallery = features(30, seed=1), features(200, seed=2)
    scores, indices = find(query, gallery, 10, metric=metric)
    assert indices.dtype == torch.int64
    assert scores.dtype == torch.float32
    assert indices.tolist() == naive_search(query.tolist(), gallery.tolist(), 10, metric)


# faiss keeps the best in a heap where k < 100, else in a reservoir, which may keep any of several equal ones.
@both
@each_metric
@pytest.mark.parametrize("k", [1, 5, 150, 299, 300])
def test_equal_similarities_come_in_gallery_order(find, metric, k):
    query, gallery = signs(25, seed=3), signs(300, seed=4)
    _, indices = find(query, gallery, k, metric=metric)
    assert indices.tolist() == naive_search(query.tolist(), gallery.tolist(), k, metric)


@each_metric
def test_faiss_scores_agree_with_the_exact_search(metric):
    query, gallery = features(40, 64, seed=5), features(500, 64, seed=6)
    scores, indices = search(query, gallery, 20, metric=metric)
    exact_scores, exact_indices = torch_search(query, gallery, 20, metric=metric)
    assert torch.equal(indices, exact_indices)
    # float32 sums of 64 products in another order.
    torch.testing.assert_close(scores, exact_scores, atol=1e-3, rtol=1e-5)


@both
def test_k_is_clipped_to_the_gallery(find):
    scores, indices = find(features(2), features(3, seed=1), 10)
    assert scores.shape == indices.shape == (2, 3)


@both
def test_more_queries_than_a_chunk(find):
    query, gallery = features(300, seed=7), features(20, seed=8)
    assert find(query, gallery, 1)[1].tolist() == naive_search(query.tolist(), gallery.tolist(), 1)


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "must be at least 1, got 0"),
        ({"metric": "dot"}, "unknown metric 'dot'"),
        ({"gallery": torch.zeros(3, 5)}, "equally wide, got 8 and 5"),
        ({"query": torch.full((2, 8), torch.nan)}, "2 of 2 rows"),
        ({"gallery": torch.zeros(0, 8)}, "gallery features must be a table"),
    ],
)
def test_wrong_input_is_refused(find, change, message):
    with pytest.raises(InputError, match=message):
        find(**{"query": features(2), "gallery": features(3), "k": 1, **change})


def test_missing_faiss_is_refused_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match="pip install faiss-gpu"):
        search(features(2), features(3), 1)


@each_index
@each_metric
def test_an_approximate_index_finds_most_and_is_repeatable(index, metric):
    query, gallery = features(60, 16, seed=1), features(3000, 16, seed=2)
    scores, indices = search(query, gallery, 10, metric=metric, index=index)
    assert scores.dtype == torch.float32
    exact_scores, exact_indices = search(query, gallery, 10, metric=metric)
    assert (indices == exact_indices).float().mean() > 0.4
    again = search(query, gallery, 10, metric=metric, index=index)
    assert torch.equal(again[1], indices)
    assert torch.equal(again[0], scores)
    torch.testing.assert_close(scores[:, 0].max(), exact_scores[:, 0].max())


@each_index
def test_equal_rows_that_an_index_finds_come_in_gallery_order(index):
    gallery = features(40, seed=2).repeat(50, 1)
    _, indices = search(features(30, seed=1), gallery, 20, index=index)
    same = indices[:, 1:] % 40 == indices[:, :-1] % 40
    assert same.float().mean() > 0.9
    assert (indices[:, 1:] > indices[:, :-1])[same].all()


def test_places_that_an_index_cannot_fill_are_marked():
    query, gallery = features(30, seed=1), features(2000, seed=2)
    scores, indices = search(query, gallery, 1500, index="ivf")  # more than the lists looked at hold
    assert scores.shape == indices.shape == (30, 1500)
    is_missing = indices < 0
    assert is_missing.any()
    assert (scores[is_missing] == -torch.inf).all()
    assert not is_missing[:, 0].any()
    assert (is_missing[:, 1:] >= is_missing[:, :-1]).all()


@pytest.mark.parametrize("rows", [1, 2, 1443, 1520])
def test_a_gallery_too_small_for_lists_is_searched_exactly_and_the_log_says_so(rows, caplog):
    query, gallery = features(25, seed=1), features(rows, seed=2)
    with caplog.at_level(logging.INFO, logger="reid"):
        _, indices = search(query, gallery, 5, index="ivf")
    assert torch.equal(indices, search(query, gallery, 5)[1])
    message = f"{rows} gallery images are too few for an ivf index; searching exactly"
    assert [record.getMessage() for record in caplog.records] == [message]


def test_a_small_gallery_fits_a_graph():
    assert search(features(2), features(1, seed=1), 3, index="hnsw")[1].tolist() == [[0], [0]]


def test_one_thread_builds_a_graph_and_all_search_it(monkeypatch):
    add, seen, before = ApproximateIndex._add, [], faiss.omp_get_max_threads()

    def watched(self, gallery):
        seen.append(faiss.omp_get_max_threads())
        add(self, gallery)

    monkeypatch.setattr(ApproximateIndex, "_add", watched)
    faiss.omp_set_num_threads(2)
    try:
        search(features(2), features(30, seed=1), 3, index="hnsw")
        assert (seen, faiss.omp_get_max_threads()) == ([1], 2)
    finally:
        faiss.omp_set_num_threads(before)


@each_index
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "must be at least 1, got 0"),
        ({"query": torch.full((2, 8), torch.nan)}, "2 of 2 rows"),
        ({"index": "ivff"}, "unknown index 'ivff': did you mean 'ivf'"),
    ],
)
def test_wrong_input_of_an_index_is_refused(index, change, message):
    with pytest.raises(InputError, match=message):
        search(**{"query": features(2), "gallery": features(3), "k": 1, "index": index, **change})


@pytest.mark.gpu
@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="faiss sees no GPU")
@each_metric
def test_gpu_search_agrees_with_the_exact_search(metric):
    query, gallery = features(40, 64, seed=5), features(500, 64, seed=6)
    _, indices = search(query, gallery, 20, metric=metric, device="cuda")
    assert torch.equal(indices, torch_search(query, gallery, 20, metric=metric)[1])

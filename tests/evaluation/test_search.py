import logging
import sys

import numpy as np
import pytest
import torch
from naive_metrics import naive_ranked_lists, naive_search

from reid.evaluation import ranked_lists, search, torch_search
from reid.utils import InputError

faiss = pytest.importorskip("faiss")
both = pytest.mark.parametrize("find", [search, torch_search], ids=["faiss", "torch"])
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


def test_cuda_without_a_gpu_for_faiss_searches_on_the_cpu(monkeypatch, caplog):
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert torch.equal(
        search(features(2), features(9), 3, device="cuda")[1], search(features(2), features(9), 3)[1]
    )
    assert not caplog.records


def test_failing_gpu_is_warned_of_and_the_cpu_takes_over(monkeypatch, caplog):
    def fail():
        raise RuntimeError("CUDA error 35:\n driver too old")

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", fail, raising=False)
    with caplog.at_level(logging.WARNING, logger="reid.evaluation.search"):
        _, indices = search(features(2), features(9, seed=1), 3, device="cuda")
    assert indices.tolist() == naive_search(features(2).tolist(), features(9, seed=1).tolist(), 3)
    message = "faiss failed on cuda (CUDA error 35: driver too old); searching on the CPU"
    assert [record.getMessage() for record in caplog.records] == [message]


@pytest.mark.gpu
@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="faiss sees no GPU")
@each_metric
def test_gpu_search_agrees_with_the_exact_search(metric):
    query, gallery = features(40, 64, seed=5), features(500, 64, seed=6)
    _, indices = search(query, gallery, 20, metric=metric, device="cuda")
    assert torch.equal(indices, torch_search(query, gallery, 20, metric=metric)[1])


def test_ranked_lists_leave_junk_and_unknown_identities_out():
    query = torch.tensor([[1.0, 0.0]])
    gallery = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4]])
    ranks = ranked_lists(query, gallery, [1], [1, -1, 1, 2, 0], [0], [0, 1, 1, 0, 0], 2)
    assert ranks.tolist() == [[2, 3]]


@pytest.mark.parametrize("k", [1, 4, 60])
def test_ranked_lists_agree_with_the_plain_loops(k):
    random = np.random.default_rng(0)
    query, gallery = signs(12, seed=9), signs(40, seed=10)
    pids, camids = ([random.integers(-1, 4, n) for n in (12, 40)] for _ in range(2))
    ranks = ranked_lists(query, gallery, *pids, *camids, k)
    columns = (column.tolist() for column in (query, gallery, *pids, *camids))
    expected = [(ranked + [-1] * k)[:k] for ranked in naive_ranked_lists(*columns)]
    assert ranks.tolist() == expected


def test_ranked_lists_refuse_labels_of_another_length():
    with pytest.raises(InputError, match="gallery_camids must hold one number for each of the 3"):
        ranked_lists(features(1), features(3), [1], [1, 2, 3], [0], [0], 1)


def test_ranked_lists_refuse_an_empty_query():
    with pytest.raises(InputError, match="query features must be a table"):
        ranked_lists(
            torch.zeros(0, 8), features(3), np.array([], int), [1, 2, 3], np.array([], int), [0, 0, 0], 1
        )

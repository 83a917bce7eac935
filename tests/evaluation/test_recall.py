import pytest
import torch

from reid.evaluation import RecallResult, approximate_recall, search, search_recall
from reid.utils import InputError


def lists(rows, scores):
    return torch.tensor(scores), torch.tensor(rows)


EXACT = lists([[4, 2, 7], [1, 0, 3]], [[0.9, 0.8, 0.7], [0.5, 0.4, 0.4]])


def features(rows, width=8, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def test_toy_recall():
    # The first query's 7 was missed, the second's 0 too.
    found = lists([[4, 2, 9], [1, 3, 8]], [[0.9, 0.8, 0.6], [0.5, 0.4, 0.3]])
    assert search_recall(found, EXACT) == pytest.approx(4 / 6)
    assert search_recall(EXACT, EXACT) == 1.0


def test_a_row_as_near_as_the_last_counts():
    found = lists([[4, 2, 7], [1, 6, 5]], [[0.9, 0.8, 0.7], [0.5, 0.4, 0.4]])
    assert search_recall(found, EXACT) == 1.0


def test_negative_scores_that_round_alike_are_equal():
    exact = lists([[1]], [[-1000.0]])
    assert search_recall(lists([[2]], [[-1000.0001]]), exact) == 1.0
    assert search_recall(lists([[2]], [[-1000.1]]), exact) == 0.0


def test_places_that_were_not_filled_count_as_missed():
    nothing = -torch.inf
    found = lists([[4, -1, -1], [-1, -1, -1]], [[0.9, nothing, nothing], [nothing] * 3])
    assert search_recall(found, EXACT) == pytest.approx(1 / 6)


def test_lists_of_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"same queries and length, got \(1, 1\) and \(2, 3\)"):
        search_recall(lists([[1]], [[1.0]]), EXACT)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_index_is_measured_on_a_sample(index, metric):
    pytest.importorskip("faiss")
    query, gallery = features(300, seed=1), features(3000, seed=2)
    result = approximate_recall(query, gallery, 10, metric=metric, index=index, sample=50)
    assert (result.index, result.metric, result.k) == (index, metric, 10)
    assert (result.num_query, result.num_gallery) == (50, 3000)
    assert 0.4 < result.recall <= 1.0
    assert min(result.exact_seconds, result.build_seconds, result.approximate_seconds) > 0
    again = approximate_recall(query, gallery, 10, metric=metric, index=index, sample=50)
    assert again.recall == result.recall


def test_a_sample_of_all_queries_is_the_recall_of_the_search():
    pytest.importorskip("faiss")
    query, gallery = features(30, 32, seed=1), features(3000, 32, seed=2)
    result = approximate_recall(query, gallery, 10, index="ivf", sample=1000)
    found = search(query, gallery, 10, index="ivf")
    assert result.num_query == 30
    assert result.recall == search_recall(found, search(query, gallery, 10)) < 1.0


@pytest.mark.parametrize("index", ["flat", "ivf"])
def test_where_the_search_is_exact_all_is_found(index):
    pytest.importorskip("faiss")
    result = approximate_recall(features(4), features(9, seed=1), 20, index=index)
    assert (result.index, result.k, result.recall, result.build_seconds) == ("flat", 9, 1.0, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": "hsnw"}, "unknown index 'hsnw': did you mean 'hnsw'"),
        ({"k": 0}, "k and sample must be at least 1, got 0 and 200"),
        ({"sample": 0}, "k and sample must be at least 1, got 1 and 0"),
        ({"metric": "dot"}, "unknown metric 'dot'"),
        ({"query": torch.full((2, 8), torch.nan)}, "2 of 2 rows"),
        ({"gallery": torch.zeros(3, 5)}, "equally wide, got 8 and 5"),
    ],
)
def test_wrong_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        approximate_recall(**{"query": features(2), "gallery": features(3), "k": 1, **change})


def test_the_result_is_worded_in_one_line():
    result = RecallResult("ivf", "cosine", 10, 200, 100000, 0.9725, 1.5, 2.0, 0.25)
    assert result.describe() == (
        "ivf: 97.2% of the 10 nearest found, 200 queries x 100000 gallery images, cosine; "
        "0.25 s against 1.50 s exact, 2.00 s to build"
    )

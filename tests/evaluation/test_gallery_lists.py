import logging

import numpy as np
import pytest
import torch
from naive_metrics import naive_ranked_lists

from reid.evaluation import ranked_lists
from reid.utils import InputError

pytest.importorskip("faiss")


def features(rows, width=8, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def signs(rows, seed):
    """Rows of four ones and minus ones: lengths and products are exact, and most similarities are shared."""
    return torch.randint(0, 2, (rows, 4), generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


def labels_of(num_query, num_gallery, seed=0):
    random = np.random.default_rng(seed)
    pids, camids = ([random.integers(-1, 4, n) for n in (num_query, num_gallery)] for _ in range(2))
    return *pids, *camids


def test_ranked_lists_leave_junk_and_unknown_identities_out():
    query = torch.tensor([[1.0, 0.0]])
    gallery = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4]])
    ranks = ranked_lists(query, gallery, [1], [1, -1, 1, 2, 0], [0], [0, 1, 1, 0, 0], 2)
    assert ranks.tolist() == [[2, 3]]


@pytest.mark.parametrize("k", [1, 4, 60])
def test_ranked_lists_agree_with_the_plain_loops(k):
    query, gallery, labels = signs(12, seed=9), signs(40, seed=10), labels_of(12, 40)
    ranks = ranked_lists(query, gallery, *labels, k)
    columns = (column.tolist() for column in (query, gallery, *labels))
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


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_approximate_index_lists_nearly_the_same_and_logs_its_recall(index, metric, caplog):
    centres, labels = features(40, seed=0), labels_of(250, 2000)
    query, gallery = (
        centres.repeat(n, 1)[:rows] + 0.3 * features(rows, seed=n) for n, rows in ((7, 250), (50, 2000))
    )
    with caplog.at_level(logging.INFO, logger="reid"):
        ranks = ranked_lists(query, gallery, *labels, 10, metric=metric, index=index)
    exact = ranked_lists(query, gallery, *labels, 10, metric=metric)
    assert (ranks == exact).float().mean() > 0.9
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"index {index} found ")
    assert message.endswith("measured on 200 queries")


def test_what_an_index_did_not_find_ends_the_list(monkeypatch):
    def search(query, gallery, k, **options):
        return torch.tensor([[0.9, 0.8, -torch.inf]]), torch.tensor([[1, 2, -1]])

    monkeypatch.setattr("reid.evaluation.gallery_lists.search", search)
    gallery = torch.ones(3, 1)
    assert ranked_lists(gallery[:1], gallery, [1], [1, 1, 2], [0], [0, 0, 1], 1).tolist() == [[2]]
    assert ranked_lists(gallery[:1], gallery, [5], [3, 1, 2], [0], [0, 0, 1], 4).tolist() == [[1, 2, -1, -1]]


def test_an_unknown_index_is_refused():
    with pytest.raises(InputError, match="unknown index 'hsnw': did you mean 'hnsw'"):
        ranked_lists(features(1), features(3), [1], [1, 2, 3], [0], [0, 0, 0], 1, index="hsnw")

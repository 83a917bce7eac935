"""Ranks from faiss's lists are those of one exact set of products, or are left to be counted."""

import numpy as np
import pytest
import torch

from reid.evaluation import evaluate_retrieval, listed_ranks, prepare_features
from reid.evaluation.faiss_flat import FlatIndex
from reid.evaluation.listed_ranks import ListedRanks
from reid.evaluation.ranks import match_ranks
from reid.evaluation.relevance import IdentityIndex
from reid.evaluation.similarity import pair_similarity

pytest.importorskip("faiss")
each_metric = pytest.mark.parametrize("metric", ["cosine", "euclidean"])


def draw(seed, rows, width):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def labels(seed, rows, num_ids):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, num_ids, (rows,), generator=random), torch.randint(
        0, 3, (rows,), generator=random
    )


def listed_and_expected(query, gallery, num_ids, metric):
    """The ranks that lists tell, None where they do not, and those by all pairs; for queries with a match."""
    query, gallery = prepare_features(query, gallery, metric)
    of_query, of_gallery = labels(1, len(query), num_ids), labels(2, len(gallery), num_ids)
    index = IdentityIndex(*of_gallery)
    counts, _ = index.count(*of_query)
    rows = np.flatnonzero(counts)
    found = ListedRanks(query, gallery, of_query, of_gallery, metric, "cpu").find(rows, counts[rows])
    relevant = index.find(*of_query)
    expected = []
    for row in rows:
        first, second = np.full(len(gallery), row), np.arange(len(gallery))
        products = torch.from_numpy(pair_similarity(query, first, second, metric, gallery))
        expected.append(match_ranks(products, *relevant[row]).tolist())
    return found, expected


def compare(found, expected):
    """How many queries the lists told, all of them rightly."""
    told = [
        (ranks.tolist(), other) for ranks, other in zip(found, expected, strict=True) if ranks is not None
    ]
    assert [ranks for ranks, _ in told] == [other for _, other in told]
    return len(told)


@each_metric
@pytest.mark.parametrize("width", [8, 768])
@pytest.mark.parametrize("length", [1024, 300, 60])
def test_copies_in_the_gallery_keep_its_order(monkeypatch, metric, width, length):
    # faiss gives copies of a row products that differ in the last bits, for some widths and sizes.
    monkeypatch.setattr(listed_ranks, "LENGTH", length)
    query, gallery = draw(0, 300, width), draw(1, 60, width).repeat(10, 1)
    found, expected = listed_and_expected(query, gallery, 90, metric)
    told = compare(found, expected)
    assert told == len(found) if length == 1024 else told < len(found)
    assert told > 0 or length == 60


@each_metric
@pytest.mark.parametrize("spread", [1e-6, 1e-5, 1e-3])
def test_products_as_wrong_as_rounding_allows_change_no_rank(monkeypatch, metric, spread):
    """Stand in for the worst order of summation: errors of the bound's size, and lists that follow them."""
    monkeypatch.setattr(listed_ranks, "LENGTH", 120)
    random = torch.Generator().manual_seed(3)
    true_nearest = FlatIndex.nearest

    def nearest(self, query, k):
        scores, indices = true_nearest(self, query, len(self._gallery))
        unit = (query.shape[1] + 8) * 2.0**-24
        reach = torch.linalg.vector_norm(query, dim=1) * 2 + (-scores[:, k]).clamp(min=0).sqrt()
        errors = unit * (reach.square()[:, None] if metric == "euclidean" else 1)
        wrong = scores + (torch.randint(0, 2, scores.shape, generator=random) * 2 - 1) * errors
        if metric == "euclidean":
            wrong.clamp_(max=0)
        top = wrong.topk(k, dim=1)
        return top.values, indices.gather(1, top.indices)

    monkeypatch.setattr(FlatIndex, "nearest", nearest)
    centres = draw(0, 20, 64)
    query = centres.repeat(4, 1) + spread * draw(1, 80, 64)
    gallery = centres.repeat(15, 1) + spread * draw(2, 300, 64)
    found, expected = listed_and_expected(query, gallery, 60, metric)
    assert compare(found, expected) > 0


@pytest.mark.parametrize(
    ("match", "length", "is_told"),
    [
        (0.9, 3, True),
        (0.5, 3, False),
        (0.5 + 2e-7, 4, False),  # the last, 0.5, is as near as rounding is
        (0.501, 4, True),
        (0.2, 3, False),
    ],
)
def test_a_match_that_ties_with_the_last_of_the_list_is_left(monkeypatch, match, length, is_told):
    monkeypatch.setattr(listed_ranks, "LENGTH", length)
    cosines = torch.tensor([0.8, match, 0.7, 0.5, 0.5, 0.5]).double()
    gallery = torch.stack([cosines, (1 - cosines.square()).sqrt()], dim=1).float()
    of_query = torch.tensor([1]), torch.tensor([0])
    of_gallery = torch.tensor([2, 1, 2, 2, 2, 2]), torch.ones(6).long()
    query = torch.tensor([[1.0, 0.0]])
    lists = ListedRanks(query, gallery, of_query, of_gallery, "cosine", "cpu")
    (ranks,) = lists.find(np.array([0]), np.array([1]))
    assert (ranks is not None) == is_told
    if is_told:
        assert ranks.tolist() == [1 if match == 0.9 else 3]


def test_a_list_of_the_whole_gallery_tells_ties_at_its_end():
    features = torch.ones(5, 2)
    labels = torch.tensor([7]), torch.tensor([0]), torch.tensor([1, 1, 1, 7, 7]), torch.ones(5).long()
    lists = ListedRanks(features[:1], features, labels[:2], labels[2:], "euclidean", "cpu")
    (ranks,) = lists.find(np.array([0]), np.array([2]))
    assert ranks.tolist() == [4, 5]


def test_junk_need_not_lie_in_the_list(monkeypatch):
    monkeypatch.setattr(listed_ranks, "LENGTH", 3)
    gallery = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]])
    of_gallery = torch.tensor([1, 1, 2, 2, 1]), torch.tensor([0, 1, 1, 1, 0])
    of_query = torch.tensor([1]), torch.tensor([0])
    lists = ListedRanks(gallery[:1], gallery, of_query, of_gallery, "euclidean", "cpu")
    (ranks,) = lists.find(np.array([0]), np.array([1]))
    assert ranks.tolist() == [1]


@each_metric
def test_queries_that_lists_do_not_tell_are_counted(metric):
    """More matches than a list is long, and matches at the gallery's far end."""
    query, gallery = draw(0, 40, 16), draw(1, 3000, 16)
    of_query, of_gallery = labels(1, 40, 30), labels(2, 3000, 30)
    of_gallery[0][:1500] = 0
    columns = query, gallery, of_query[0], of_gallery[0], of_query[1], of_gallery[1]
    torch_result, faiss_result = (
        evaluate_retrieval(*columns, metric=metric, backend=backend) for backend in ("torch", "faiss")
    )
    np.testing.assert_allclose(torch_result.average_precision, faiss_result.average_precision, atol=1e-6)
    np.testing.assert_allclose(torch_result.cmc, faiss_result.cmc, atol=1e-6)


@pytest.mark.parametrize(("noise", "chunks"), [(0.1, 4), (100.0, 1)])
def test_lists_that_tell_few_are_given_up_after_a_chunk(monkeypatch, noise, chunks):
    monkeypatch.setattr(listed_ranks, "LENGTH", 50)
    seen, find = [], ListedRanks.find

    def watched(self, rows, num_matches):
        seen.append(len(rows))
        return find(self, rows, num_matches)

    monkeypatch.setattr(ListedRanks, "find", watched)
    centres, pids = draw(0, 40, 16), torch.arange(40)
    query, gallery = centres + noise * draw(1, 40, 16), centres.repeat(20, 1) + noise * draw(2, 800, 16)
    columns = query, gallery, pids, pids.repeat(20), torch.zeros(40).long(), torch.ones(800).long()
    result = evaluate_retrieval(*columns, backend="faiss", chunk_size=10)
    assert seen == [10] * chunks
    assert result.mean_ap == pytest.approx(evaluate_retrieval(*columns).mean_ap, abs=1e-9)

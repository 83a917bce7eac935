"""Which queries a report shows, and which pairs its histograms are made of."""

import numpy as np
import pytest
import torch

from reid.evaluation import FeatureSet, prepare_features, similarity
from reid.evaluation.report import as_distance, choose_queries, evenly_spread, sample_distances


def test_few_queries_are_all_shown():
    right = np.array([True, False, True])
    assert choose_queries(np.array([0.3, 0.1, 0.9]), right, ~right).tolist() == [0, 1, 2]


def test_changed_then_hardest_then_an_even_spread():
    precision = np.linspace(1, 0, 11)
    was_right = np.arange(11) < 5
    is_right = was_right.copy()
    is_right[[2, 7]] = ~is_right[[2, 7]]
    # 2 and 7 changed, 9 and 10 are hardest; of 0 1 3 4 5 6 8 both ends are left.
    assert choose_queries(precision, was_right, is_right, 6, 2).tolist() == [0, 2, 7, 8, 9, 10]


def test_the_hardest_have_a_place_whatever_changed():
    precision = np.linspace(0, 1, 100)
    was_right = np.zeros(100, bool)
    chosen = choose_queries(precision, was_right, ~was_right, 10, 4)
    assert chosen[:4].tolist() == [0, 1, 2, 3]
    assert chosen[4:].tolist() == [4, 23, 42, 61, 80, 99]


def test_equal_precisions_go_by_the_order_of_the_queries():
    right = np.ones(50, bool)
    assert choose_queries(np.full(50, 0.5), right, right, 4, 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 199, 200, 201, 5000])
def test_never_more_than_there_is_room_for(count):
    rng = np.random.default_rng(count)
    was_right, is_right = rng.random((2, count)) < 0.5
    precision = rng.random(count).round(1)
    chosen = choose_queries(precision, was_right, is_right)
    assert len(chosen) == min(count, 200)
    assert (np.diff(chosen) > 0).all()
    assert set(np.argsort(precision, kind="stable")[:20]) <= set(chosen)
    np.testing.assert_array_equal(chosen, choose_queries(precision, was_right, is_right))


def test_all_that_changed_are_shown_where_they_fit():
    was_right = np.zeros(5000, bool)
    is_right = np.arange(5000) % 30 == 7
    chosen = choose_queries(np.linspace(1, 0, 5000), was_right, is_right)
    assert set(np.flatnonzero(is_right)) <= set(chosen)


def test_evenly_spread_rows():
    rows = np.arange(10, 20)
    assert evenly_spread(rows, 3).tolist() == [10, 14, 19]
    assert evenly_spread(rows, 1).tolist() == [10]
    assert evenly_spread(rows, 0).tolist() == []
    assert evenly_spread(rows, 99).tolist() == rows.tolist()
    assert evenly_spread(rows[:0], 3).tolist() == []


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    pids = torch.randint(-1, 4, (60,), generator=generator)
    camids = torch.randint(-1, 3, (60,), generator=generator)
    return FeatureSet(torch.randn(60, 5, generator=generator), pids, camids)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_distances_of_all_pairs_that_count(features, metric):
    query, gallery = np.arange(0, 20), np.arange(15, 60)
    query = query[(features.pids[query] >= 0).numpy()]
    expected = {True: [], False: []}
    for q in query.tolist():
        for g in gallery.tolist():
            same = bool(features.pids[q] == features.pids[g])
            is_junk = same and features.camids[q] == features.camids[g] and features.camids[q] >= 0
            if features.pids[g] < 0 or is_junk:
                continue
            a, b = features.feats[q].double(), features.feats[g].double()
            cosine = 1 - a @ b / a.norm() / b.norm()
            expected[same].append(float(cosine if metric == "cosine" else (a - b).norm()))
    found = sample_distances(features, query, gallery, metric)
    # The root of what float32 leaves of the distance of an image to itself.
    rounding = 5e-3 if metric == "euclidean" else 1e-6
    np.testing.assert_allclose(found.true, expected[True], atol=rounding)
    np.testing.assert_allclose(found.false, expected[False], atol=rounding)
    assert found.num_queries == len(query)


def test_of_too_many_pairs_a_sample_of_queries(features):
    query, gallery = np.flatnonzero((features.pids >= 0).numpy())[:21], np.arange(30, 60)
    known = int((features.pids[gallery] >= 0).sum())
    found = sample_distances(features, query, gallery, "cosine", max_pairs=3 * known)
    assert found.num_queries == 3
    expected = sample_distances(features, query[[0, 10, 20]], gallery, "cosine")
    np.testing.assert_array_equal(found.true, expected.true)
    np.testing.assert_array_equal(found.false, expected.false)
    assert sample_distances(features, query, gallery, "cosine", max_pairs=1).num_queries == 1


@pytest.mark.parametrize(
    ("metric", "expected"), [("cosine", [0.0, 1.0, 2.0]), ("euclidean", [0.0, 5.0, 1.0])]
)
def test_what_a_distance_is(metric, expected):
    query = torch.tensor([[3.0, 4.0]])
    gallery = {
        "cosine": torch.tensor([[6.0, 8.0], [-4.0, 3.0], [-3.0, -4.0]]),
        "euclidean": torch.tensor([[3.0, 4.0], [0.0, 0.0], [3.0, 3.0]]),
    }[metric]
    found = as_distance(similarity(*prepare_features(query, gallery, metric), metric).numpy(), metric)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
    assert (found >= 0).all()

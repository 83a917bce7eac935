import sys

import numpy as np
import pytest
import torch

from reid.evaluation.similarity import (
    METRICS,
    check_finite,
    pair_similarity,
    prepare_features,
    similarity,
    stable_top,
    unit_rows,
)
from reid.utils import InputError

QUERY = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
GALLERY = torch.tensor([[3.0, 4.0], [4.0, -3.0], [0.0, 2.0]])


def test_cosine_of_a_zero_row_is_zero():
    sim_mat = similarity(*prepare_features(QUERY, GALLERY, "cosine"), "cosine")
    torch.testing.assert_close(sim_mat, torch.tensor([[1.0, 0.0, 0.8], [0.0, 0.0, 0.0]]))


def test_euclidean_is_minus_the_squared_distance():
    sim_mat = similarity(*prepare_features(QUERY, GALLERY, "euclidean"), "euclidean")
    assert sim_mat.tolist() == [[0.0, -50.0, -13.0], [-25.0, -25.0, -4.0]]


def test_euclidean_never_exceeds_zero():
    feats = torch.randn(40, 33, generator=torch.Generator().manual_seed(0)) * 100
    assert similarity(feats, feats, "euclidean").max() <= 0


@pytest.mark.parametrize("metric", METRICS)
def test_given_features_stay_as_they_are(metric):
    query, gallery = QUERY.clone().requires_grad_(), GALLERY.clone()
    prepared = prepare_features(query, gallery, metric)
    similarity(*prepared, metric)
    assert torch.equal(query, QUERY)
    assert torch.equal(gallery, GALLERY)
    assert not prepared[0].requires_grad


def test_rows_of_length_one_are_not_copied():
    unit, _ = prepare_features(
        torch.randn(300, 50, generator=torch.Generator().manual_seed(0)), torch.ones(1, 50), "cosine"
    )
    again, gallery = prepare_features(unit, unit * 1.00001, "cosine")
    assert again.data_ptr() == unit.data_ptr()
    assert gallery.data_ptr() != unit.data_ptr()
    torch.testing.assert_close(gallery, unit)
    assert not torch.equal(gallery, unit * 1.00001)


def test_a_table_of_ones_own_is_scaled_in_place():
    features = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]])
    scaled = unit_rows(features, torch.linalg.vector_norm(features, dim=1), own=True)
    assert scaled.data_ptr() == features.data_ptr()
    torch.testing.assert_close(scaled, torch.tensor([[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]]))


@pytest.mark.parametrize("gathered", [1, 6, 1000])
@pytest.mark.parametrize("metric", METRICS)
def test_pairs_are_compared_as_in_the_matrix(monkeypatch, metric, gathered):
    monkeypatch.setattr(sys.modules[pair_similarity.__module__], "GATHERED", gathered)
    features, _ = prepare_features(GALLERY, GALLERY, metric)
    first, second = np.array([0, 1, 2, 0]), np.array([1, 1, 0, 2])
    expected = similarity(features, features, metric).numpy()[first, second]
    np.testing.assert_allclose(pair_similarity(features, first, second, metric), expected, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_pairs_of_two_tables_are_compared_alike_wherever_they_stand(metric):
    random = torch.Generator().manual_seed(0)
    query, other = prepare_features(
        torch.randn(1, 768, generator=random), torch.randn(1, 768, generator=random), metric
    )
    gallery = torch.cat([QUERY.repeat(400, 384), other.expand(700, -1)])
    found = pair_similarity(query, np.zeros(700, int), np.arange(800, 1500), metric, gallery)
    assert len(set(found.tolist())) == 1
    np.testing.assert_allclose(found[0], similarity(query, other, metric).item(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 4, 39, 40, 50])
def test_the_top_keeps_equal_values_in_order(k):
    sim_mat = torch.randint(0, 4, (60, 40), generator=torch.Generator().manual_seed(k)).float()
    sim_mat[0] = torch.arange(40)  # no value twice
    ranked = sim_mat.sort(dim=1, descending=True, stable=True)
    values, columns = stable_top(sim_mat, k)
    assert torch.equal(values, ranked.values[:, :k])
    assert torch.equal(columns, ranked.indices[:, :k])


def test_refusal_counts_the_rows_that_are_not_finite():
    feats = torch.tensor([[0.0], [float("nan")], [float("-inf")], [1.0]])
    with pytest.raises(InputError, match=r"gallery features must be finite, but 2 of 4 rows .*first: row 1"):
        check_finite(feats, "gallery")

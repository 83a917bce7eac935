import pytest
import torch

from reid.evaluation.similarity import METRICS, check_finite, prepare_features, similarity
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


def test_refusal_counts_the_rows_that_are_not_finite():
    feats = torch.tensor([[0.0], [float("nan")], [float("-inf")], [1.0]])
    with pytest.raises(InputError, match=r"gallery features must be finite, but 2 of 4 rows .*first: row 1"):
        check_finite(feats, "gallery")

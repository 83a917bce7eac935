"""The noise between cameras: by hand, against a loop, and what serves every shrinkage."""

import numpy as np
import pytest
from sites import site

from reid.adaptation import fit_camera_noise, measure_noise, noise_covariance, whiten
from reid.utils import InputError

pytest.importorskip("faiss")


def test_the_noise_of_two_pairs_by_hand():
    features = np.array([[0, 0], [2, 0], [0, 1], [0, 3]], np.float32)
    covariance = noise_covariance(features, np.array([[0, 1], [2, 3]]))
    assert covariance.tolist() == [[1.0, 0.0], [0.0, 1.0]]  # (4 + 0) / 2 / 2 in each direction


def test_the_noise_agrees_with_a_plain_loop_over_chunks(monkeypatch):
    monkeypatch.setattr("reid.adaptation.noise.CHUNK", 3)
    rng = np.random.default_rng(1)
    features, pairs = rng.normal(size=(9, 4)).astype(np.float32), rng.integers(0, 9, (10, 2))
    loop = sum(np.outer(features[i] - features[j], features[i] - features[j]) / 2 for i, j in pairs) / 10
    np.testing.assert_allclose(noise_covariance(features, pairs), loop, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"mean_per_camera": True, "k": 3}, {"affine": True}])
def test_one_measurement_serves_every_shrinkage(options):
    features, camids, _ = site()
    noise = measure_noise(features, camids, **options)
    for shrinkage in (0.5, 3.0):
        own = fit_camera_noise(features, camids, shrinkage=shrinkage, **options)
        np.testing.assert_array_equal(whiten(noise, shrinkage).weight, own.weight)
        np.testing.assert_array_equal(whiten(noise, shrinkage).noise_spectrum, own.noise_spectrum)


@pytest.mark.parametrize("shrinkage", [1e-300, 9e-4, 0.0, -1.0, float("nan"), float("inf")])
def test_a_shrinkage_that_rounding_would_decide_is_refused(shrinkage):
    noise = measure_noise(*site(ids=40)[:2])
    with pytest.raises(InputError, match=r"r must be finite and at least 0\.001, got .*; 3 is usual"):
        noise.inverse_root(shrinkage)
    assert np.isfinite(noise.inverse_root(1e-3)).all()


def test_lists_are_measured_as_arrays_are():
    features, camids, _ = site(ids=20)
    tracklets = np.arange(len(camids)) // 2
    for options in (
        {"camids": camids},
        {"camids": camids, "mean_per_camera": True},
        {"camids": None, "tracklets": tracklets},
    ):
        lists = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in options.items()
        }
        expected, found = measure_noise(features, **options), measure_noise(features.tolist(), **lists)
        np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"camids": [0.5, 1.5] * 20}, "camera numbers must be whole"),
        ({"camids": ["a", "b"] * 20}, "camera numbers must be whole"),
        ({"camids": [[0]] * 40}, "one camera number, got numbers of shape"),
        ({"camids": None, "tracklets": [0.5] * 40}, "tracklet numbers must be whole"),
        ({"k": 1.5}, r"k = 1\.5; 2 is usual"),
        ({"k": "2"}, "k = 2; 2 is usual"),
        ({"shrinkage": "3"}, "shrinkage r must be finite"),
        ({"shrinkage": None}, "shrinkage r must be finite"),
        ({"shrinkage": float("inf")}, "shrinkage r must be finite"),
    ],
)
def test_options_of_other_kinds_are_refused(options, message):
    features, camids, _ = site(ids=20)
    with pytest.raises(InputError, match=message):
        fit_camera_noise(features, **{"camids": camids} | options)

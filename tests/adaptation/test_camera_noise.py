import numpy as np
import pytest
from sites import site

from reid.adaptation import fit_camera_noise, noise_covariance
from reid.adaptation.camera_noise import normalise
from reid.utils import InputError

pytest.importorskip("faiss")


def rank1(features, camids, pids):
    query, gallery = camids == 0, camids == 1
    nearest = (features[query] @ features[gallery].T).argmax(axis=1)
    return np.mean(pids[gallery][nearest] == pids[query])


def test_the_noise_of_two_pairs_by_hand():
    features = np.array([[0, 0], [2, 0], [0, 1], [0, 3]], np.float32)
    covariance = noise_covariance(features, np.array([[0, 1], [2, 3]]))
    assert covariance.tolist() == [[1.0, 0.0], [0.0, 1.0]]  # (4 + 0) / 2 / 2 in each direction


def test_the_noise_agrees_with_a_plain_loop_over_chunks(monkeypatch):
    monkeypatch.setattr("reid.adaptation.camera_noise.CHUNK", 3)
    rng = np.random.default_rng(1)
    features, pairs = rng.normal(size=(9, 4)).astype(np.float32), rng.integers(0, 9, (10, 2))
    loop = sum(np.outer(features[i] - features[j], features[i] - features[j]) / 2 for i, j in pairs) / 10
    np.testing.assert_allclose(noise_covariance(features, pairs), loop, atol=1e-6)


def test_weight_is_the_inverse_root_of_the_shrunk_noise():
    features, camids, _ = site()
    fitted = fit_camera_noise(features, camids, shrinkage=2.0)
    weight, spectrum = fitted.weight, fitted.noise_spectrum
    np.testing.assert_array_equal(weight, weight.T)
    shrunk = np.linalg.inv(weight @ weight)
    values = np.linalg.eigvalsh(shrunk)[::-1]
    expected = spectrum + 2.0 * spectrum.mean()
    np.testing.assert_allclose(values / values[0], expected / expected[0], rtol=1e-6)


@pytest.mark.parametrize("mean_per_camera", [False, True])
def test_retrieval_of_people_never_fitted_improves(mean_per_camera):
    fitted = fit_camera_noise(*site(seed=0)[:2], mean_per_camera=mean_per_camera)
    features, camids, pids = site(seed=1)
    before = rank1(normalise(features - features.mean(axis=0)), camids, pids)
    after = rank1(fitted.apply(features, camids), camids, pids)
    assert before < 0.9
    assert after > before + 0.05


def test_a_camera_offset_is_removed_where_the_camera_is_known():
    features, camids, pids = site(scale=0.1)
    features[camids == 1] += 3.0 * np.eye(24)[0]
    fitted = fit_camera_noise(features, camids, mean_per_camera=True)
    assert rank1(fitted.apply(features, camids), camids, pids) > 0.99
    unknown = fitted.apply(features, np.full(len(features), 77))
    np.testing.assert_array_equal(unknown, fitted.apply(features))


def test_scale_of_features_does_not_matter():
    features, camids, _ = site()
    once, again = fit_camera_noise(features, camids), fit_camera_noise(features * 16, camids)
    np.testing.assert_array_equal(once.weight, again.weight)


def test_fewer_images_than_dimensions_is_finite():
    features, camids, _ = site(ids=4)
    fitted = fit_camera_noise(features, camids)
    assert np.isfinite(fitted.weight).all()
    assert np.linalg.eigvalsh(fitted.weight).min() > 0


def test_output_has_unit_length():
    features, camids, _ = site()
    denoised = fit_camera_noise(features, camids).apply(features)
    assert denoised.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(denoised, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, c: (f, np.zeros_like(c)), "at least two cameras"),
        (lambda f, c: (np.where(np.arange(len(f))[:, None] == 3, np.nan, f), c), "row 3 is not"),
        (lambda f, c: (f * (np.arange(len(f))[:, None] != 5), c), "row 5 is not"),
        (lambda f, c: (np.ones_like(f), c), "identical images"),
    ],
)
def test_degenerate_images_are_refused(change, message):
    features, camids = change(*site()[:2])
    with pytest.raises(InputError, match=message):
        fit_camera_noise(features, camids)


def test_options_are_checked():
    features, camids, _ = site(ids=5)
    with pytest.raises(InputError, match="above 0, got 0"):
        fit_camera_noise(features, camids, shrinkage=0)
    with pytest.raises(InputError, match="needs the images' cameras"):
        fit_camera_noise(features, None, mean_per_camera=True)
    with pytest.raises(InputError, match=r"must be \(N, 24\)"):
        fit_camera_noise(features, camids).apply(features[:, :3])

from dataclasses import replace

import numpy as np
import pytest
from sites import site

from reid.adaptation import CameraNoiseDenoiser, cross_camera_pairs, fit_camera_noise, noise_covariance
from reid.adaptation.scaling import normalise
from reid.utils import InputError

pytest.importorskip("faiss")


def chunk_by(monkeypatch, rows):
    for module in ("camera_noise", "noise", "scaling"):
        monkeypatch.setattr(f"reid.adaptation.{module}.CHUNK", rows)


def rank1(features, camids, pids):
    query, gallery = camids == 0, camids == 1
    nearest = (features[query] @ features[gallery].T).argmax(axis=1)
    return np.mean(pids[gallery][nearest] == pids[query])


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


def test_a_feature_of_unknown_camera_takes_the_map_with_one_mean_row_by_row():
    features, camids, _ = site(ids=40)
    alone = fit_camera_noise(features, camids)
    fitted = fit_camera_noise(features, camids, mean_per_camera=True)
    both = replace(fitted, without_cameras=alone)
    some = np.where(np.arange(len(camids)) % 3 == 0, -1, camids)
    some[1] = 77
    found = both.apply(features, some)
    for row, camera in enumerate(some):
        one = slice(row, row + 1)
        by_hand = alone.apply(features[one]) if camera < 0 else fitted.apply(features[one], some[one])
        np.testing.assert_allclose(found[one], by_hand, atol=1e-6)
    for unknown in (None, np.full_like(camids, -1)):
        np.testing.assert_array_equal(both.apply(features, unknown), alone.apply(features))
    with pytest.raises(InputError, match="each of 80 features needs one camera number, got 1"):
        both.apply(features, camids[:1])


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


def test_apply_by_hand():
    noise = CameraNoiseDenoiser(np.diag([2.0, 1.0]), np.array([0.1, 0.2]), {}, np.ones(2), 1)
    denoised = noise.apply(np.array([[3.0, 4.0], [30.0, 40.0]], np.float32))
    expected = np.array([2 * (0.6 - 0.1), 0.8 - 0.2]) / np.hypot(1.0, 0.6)
    np.testing.assert_allclose(denoised, [expected, expected], atol=1e-6)


def test_with_one_length_apply_is_the_affine_formula():
    features, camids, _ = site(ids=40)
    features *= np.random.default_rng(0).uniform(0.5, 2, (len(features), 1)).astype(np.float32)
    fitted = fit_camera_noise(features, camids, affine=True)
    assert fitted.length == pytest.approx(np.sqrt(np.mean(np.sum(features.astype(float) ** 2, axis=1))))
    affine = features.astype(float) @ (fitted.weight / fitted.length).T - fitted.weight @ fitted.mean
    expected = affine / np.linalg.norm(affine, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.apply(features), expected, atol=2e-6)
    np.testing.assert_allclose(fitted.mean, (features / fitted.length).mean(axis=0), atol=1e-6)


def test_with_one_length_pairs_are_still_found_by_direction():
    features, camids, _ = site(ids=40)
    lengths = np.random.default_rng(0).uniform(0.1, 9, (len(features), 1)).astype(np.float32)
    directed = fit_camera_noise(features, camids)
    assert fit_camera_noise(features * lengths, camids, affine=True).num_pairs == directed.num_pairs


def test_one_length_and_no_length_agree_where_all_have_that_length():
    features, camids, _ = site(ids=40)
    features = normalise(features) * 7
    one, own = fit_camera_noise(features, camids, affine=True), fit_camera_noise(features, camids)
    assert one.length == pytest.approx(7, rel=1e-6)
    np.testing.assert_allclose(one.weight, own.weight, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"mean_per_camera": True}, {"affine": True}])
def test_chunks_change_nothing(monkeypatch, options):
    features, camids, _ = site(ids=40)
    whole = fit_camera_noise(features, camids, **options)
    expected = whole.apply(features, camids)
    chunk_by(monkeypatch, 7)
    chunked = fit_camera_noise(features, camids, **options)
    np.testing.assert_allclose(chunked.weight, whole.weight, atol=1e-9)
    np.testing.assert_allclose(chunked.apply(features, camids), expected, atol=1e-6)


@pytest.mark.parametrize("affine", [False, True])
def test_means_of_cameras_are_those_of_their_images(affine):
    features, camids, _ = site(ids=40, cameras=3)
    features[camids == 1] += 1
    fitted = fit_camera_noise(features, camids, mean_per_camera=True, affine=affine)
    seen = features / fitted.length if affine else normalise(features)
    assert set(fitted.camera_means) == {0, 1, 2}
    for camera, mean in fitted.camera_means.items():
        np.testing.assert_allclose(mean, seen[camids == camera].mean(axis=0), atol=1e-6)
    denoised = (seen[80:] - fitted.camera_means[2]) @ fitted.weight
    np.testing.assert_allclose(fitted.apply(features, camids)[80:], normalise(denoised), atol=1e-5)


@pytest.mark.parametrize("affine", [False, True])
def test_pairs_and_noise_are_those_of_features_around_their_cameras_means(affine):
    features, camids, _ = site(ids=40, cameras=3)
    features[camids == 1] += 3.0 * np.eye(24, dtype=np.float32)[0]
    fitted = fit_camera_noise(features, camids, mean_per_camera=True, affine=affine)
    seen, unit = features / fitted.length if affine else normalise(features), normalise(features)
    for camera in range(3):
        for space in (seen, unit):
            space[camids == camera] -= space[camids == camera].mean(axis=0)
    pairs = cross_camera_pairs(unit, camids, 2)
    spectrum = np.linalg.eigvalsh(noise_covariance(seen, pairs))[::-1]
    assert fitted.num_pairs == len(pairs)
    np.testing.assert_allclose(fitted.noise_spectrum, spectrum, atol=1e-7)


def test_a_camera_of_few_images_takes_the_mean_of_all():
    features, camids, _ = site(ids=40)
    camids[3:12], camids[20:30] = 5, 6  # nine images, and ten
    fitted = fit_camera_noise(features, camids, mean_per_camera=True)
    assert set(fitted.camera_means) == {0, 1, 6}
    np.testing.assert_array_equal(fitted.apply(features, camids)[3:12], fitted.apply(features)[3:12])
    alone = fit_camera_noise(features[[0, 40, 41]], np.array([0, 1, 2]), mean_per_camera=True)
    assert alone.camera_means == {}


def test_tracklets_are_pairs_whatever_their_cameras():
    features, camids, pids = site(ids=40)
    fitted = fit_camera_noise(features, np.zeros_like(camids), tracklets=pids)
    unit = normalise(features)
    pairs = np.stack([np.arange(40), np.arange(40) + 40], axis=1)
    spectrum = np.linalg.eigvalsh(noise_covariance(unit, pairs))[::-1]
    np.testing.assert_allclose(fitted.noise_spectrum, spectrum, atol=1e-9)
    assert fitted.num_pairs == 40


def test_the_order_of_images_does_not_matter():
    features, camids, _ = site(ids=40)
    order = np.random.default_rng(0).permutation(len(features))
    once = fit_camera_noise(features, camids, mean_per_camera=True)
    again = fit_camera_noise(features[order], camids[order], mean_per_camera=True)
    np.testing.assert_allclose(again.weight, once.weight, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, c: (f, np.zeros_like(c)), "at least two cameras, got 1; give the cameras"),
        (lambda f, c: (np.where(np.arange(len(f))[:, None] == 3, np.nan, f), c), "row 3 is not .1 of rows 0"),
        (lambda f, c: (np.where(np.arange(len(f))[:, None] == 3, np.inf, f), c), "row 3 is not"),
        (lambda f, c: (f * (np.arange(len(f))[:, None] != 5), c), "row 5 is not"),
        (lambda f, c: (f.astype(float) * 1e200, c), "row 0 is not"),
        (lambda f, c: (np.ones_like(f), c), "identical images"),
        (lambda f, c: (f[:0], c[:0]), "at least two cameras, got 0"),
        (lambda f, c: (f[:, :0], c), r"N and D at least 1, got \(300, 0\)"),
        (lambda f, c: (f[:, 0], c), r"must be \(N, D\)"),
        (lambda f, c: (f, c[:7]), "each of 300 features needs one camera number, got 7"),
    ],
)
def test_degenerate_images_are_refused(change, message):
    features, camids = change(*site()[:2])
    with pytest.raises(InputError, match=message) as caught:
        fit_camera_noise(features, camids)
    assert "\n" not in str(caught.value)


def test_rows_are_named_as_they_were_given(monkeypatch):
    chunk_by(monkeypatch, 7)
    features, camids, _ = site(ids=10)
    fitted = fit_camera_noise(features, camids)
    features[[16, 17]] = 0
    for refusing in (fitted.apply, lambda f: fit_camera_noise(f, camids)):
        with pytest.raises(InputError, match=r"row 16 is not \(2 of rows 14 to 19\); leave such images out"):
            refusing(features)


def test_a_feature_at_the_mean_has_no_direction():
    noise = CameraNoiseDenoiser(np.eye(2), np.array([1.0, 0.0]), {}, np.ones(2), 1)
    assert noise.apply(np.array([[2.0, 0.0], [0.0, 1.0]], np.float32))[0].tolist() == [0, 0]


def test_options_are_checked():
    features, camids, _ = site(ids=5)
    for shrinkage in (0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match=rf"finite and at least 0\.001, got {shrinkage}; 3 is usual"):
            fit_camera_noise(features, camids, shrinkage=shrinkage)
    with pytest.raises(InputError, match="k = 0; 2 is usual"):
        fit_camera_noise(features, camids, k=0)
    with pytest.raises(InputError, match="needs the images' cameras"):
        fit_camera_noise(features, None, mean_per_camera=True)
    with pytest.raises(InputError, match="needs one tracklet number, got 3"):
        fit_camera_noise(features, None, tracklets=np.arange(3))


def test_what_is_denoised_is_checked():
    features, camids, _ = site(ids=5)
    fitted = fit_camera_noise(features, camids)
    for other in (features[:, :3], features[0]):
        with pytest.raises(InputError, match=r"must be \(N, 24\)"):
            fitted.apply(other)
    with pytest.raises(InputError, match="each of 10 features needs one camera number, got 9"):
        fitted.apply(features, camids[:9])
    for empty in (None, camids[:0], []):
        assert fitted.apply(features[:0], empty).shape == (0, 24)
    for wrong in (camids.astype(float), camids.astype(str), np.full(10, np.nan), camids[:, None]):
        with pytest.raises(InputError, match="camera"):
            fitted.apply(features, wrong)


def test_lists_mean_what_arrays_mean():
    features, camids, _ = site(ids=20)
    fitted = fit_camera_noise(features, camids, mean_per_camera=True)
    both = replace(fitted, without_cameras=fit_camera_noise(features, camids))
    for denoiser in (fitted, both):
        found = denoiser.apply(features, camids)
        assert not np.array_equal(found, denoiser.apply(features))
        np.testing.assert_array_equal(denoiser.apply(features.tolist(), camids.tolist()), found)

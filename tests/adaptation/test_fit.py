import logging

import numpy as np
import pytest
from sites import site

from reid.adaptation import NoiseSettings, Setting, fit_camera_noise, fit_noise
from reid.utils import InputError

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def offset():
    """A site whose cameras want a mean each, whose identities are the tracklets."""
    features, camids, pids = site(ids=100)
    features[camids == 1] += np.random.default_rng(0).normal(size=24).astype(np.float32)
    return features, camids, pids


def tried(choice):
    return {
        name: {getattr(c.setting, name) for c in choice.candidates}
        for name in ("k", "shrinkage", "mean_per_camera")
    }


def test_everything_is_tried_where_nothing_is_given(offset):
    choice = fit_noise(*offset, NoiseSettings())
    assert tried(choice) == {"k": {2, 3}, "shrinkage": {1, 3, 10}, "mean_per_camera": {False, True}}
    assert choice.setting.mean_per_camera


def test_on_images_of_the_training_only_careful_settings_are_tried(offset):
    choice = fit_noise(*offset, NoiseSettings(), in_domain=True)
    assert tried(choice) == {"k": {2, 3}, "shrinkage": {3, 10}, "mean_per_camera": {False}}


def test_what_is_given_is_taken_there_too(offset):
    settings = NoiseSettings(k=4, shrinkage=0.5, means="camera", noise="on")
    for in_domain in (False, True):
        choice = fit_noise(*offset, settings, in_domain=in_domain)
        assert choice.setting == Setting(4, 0.5, True)
        assert len(choice.candidates) == 1


@pytest.mark.parametrize(
    ("means", "expected"), [("one", {False}), ("camera", {True}), ("auto", {False, True})]
)
def test_means_as_asked_for(offset, means, expected):
    assert tried(fit_noise(*offset, NoiseSettings(means=means)))["mean_per_camera"] == expected


def test_noise_off_on_and_auto():
    features, camids, pids = site(ids=100, ratio=1.0, scale=0.5, offset=0.0)
    off = fit_noise(features, camids, pids, NoiseSettings(noise="off"))
    assert (off.denoiser, off.setting, off.candidates) == (None, None, ())
    auto, on = (
        fit_noise(features, camids, pids, NoiseSettings(noise=noise, k=2)) for noise in ("auto", "on")
    )
    assert auto.denoiser is None
    assert auto.candidates == on.candidates
    assert on.denoiser is not None


def test_images_without_a_camera_are_left_out_with_a_warning(offset, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    features, camids, pids = offset
    some = camids.copy()
    some[[3, 50, 120]] = -1, -1, -7
    found = fit_noise(features, some, pids, NoiseSettings())
    assert "3 of 200 images have no camera: no pair is of them" in caplog.text
    known = some >= 0
    expected = fit_noise(features[known], some[known], pids[known], NoiseSettings())
    assert found.setting == expected.setting
    np.testing.assert_array_equal(found.denoiser.weight, expected.denoiser.weight)
    assert set(found.denoiser.camera_means) == {0, 1}


def test_no_camera_at_all_is_refused_with_what_to_do(offset):
    features, camids, pids = offset
    with pytest.raises(InputError, match=r"no image has one; give them \(a camid column\), or set") as caught:
        fit_noise(features, np.full_like(camids, -1), pids, NoiseSettings())
    assert "ADAPT.PAIRS neighbours" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tracklets_are_paired_with_the_usual_setting_and_no_camera_is_needed(offset):
    features, camids, pids = offset
    choice = fit_noise(features, np.full_like(camids, -1), pids, NoiseSettings(pairs="tracklets"))
    assert (choice.setting, choice.candidates) == (Setting(), ())
    expected = fit_camera_noise(features, None, tracklets=pids)
    np.testing.assert_array_equal(choice.denoiser.weight, expected.weight)
    assert choice.denoiser.num_pairs == 100
    assert choice.denoiser.camera_means == {}


def test_neighbours_are_paired_with_the_usual_setting_or_the_given_one(offset):
    features = offset[0]
    choice = fit_noise(*offset, NoiseSettings(pairs="neighbours"))
    assert choice.setting == Setting()
    np.testing.assert_array_equal(choice.denoiser.weight, fit_camera_noise(features, None).weight)
    given = fit_noise(*offset, NoiseSettings(pairs="neighbours", k=3, shrinkage=1.0))
    expected = fit_camera_noise(features, None, k=3, shrinkage=1.0)
    np.testing.assert_array_equal(given.denoiser.weight, expected.weight)


@pytest.mark.parametrize("pairs", ["cameras", "tracklets", "neighbours"])
def test_affine_where_it_is_asked_for(offset, pairs):
    settings = NoiseSettings(pairs=pairs, noise="on")
    assert fit_noise(*offset, settings, affine=True).denoiser.length is not None
    assert fit_noise(*offset, settings).denoiser.length is None


@pytest.mark.parametrize("pairs", ["tracklets", "neighbours"])
def test_means_of_cameras_without_pairs_of_cameras_are_refused(pairs):
    with pytest.raises(InputError, match=f"needs pairs of cameras, pairs are {pairs}; use one mean"):
        NoiseSettings(means="camera", pairs=pairs)

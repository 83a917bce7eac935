import numpy as np
import pytest
from sites import site

from reid.adaptation import choose_camera_noise, fit_camera_noise
from reid.adaptation.choose import Candidate, _halves, _pick
from reid.utils import InputError

pytest.importorskip("faiss")


def candidate(k, shrinkage, after, error=0.01):
    return Candidate(k, shrinkage, False, before=0.0, after=after, error=error, num_pairs=50)


def test_strong_noise_in_few_directions_is_denoised():
    features, camids, _ = site(ids=300)
    choice = choose_camera_noise(features, camids)
    assert choice.chosen.gain > 2 * choice.chosen.error > 0
    setting = {"k": choice.chosen.k, "shrinkage": choice.chosen.shrinkage}
    np.testing.assert_array_equal(
        choice.denoiser.weight, fit_camera_noise(features, camids, **setting).weight
    )


def test_noise_alike_in_all_directions_is_left_alone():
    features, camids, _ = site(ids=300, ratio=1.0, scale=0.2, offset=0.0)
    choice = choose_camera_noise(features, camids)
    assert (choice.denoiser, choice.chosen) == (None, None)
    assert len(choice.candidates) == 6


def test_every_setting_asked_for_is_judged_on_held_out_pairs():
    features, camids, _ = site(ids=300)
    choice = choose_camera_noise(
        features, camids, neighbours=[2], shrinkages=[3.0, 9.0], means_per_camera=[False, True]
    )
    settings = [(c.k, c.shrinkage, c.mean_per_camera) for c in choice.candidates]
    assert settings == [(2, 3.0, False), (2, 3.0, True), (2, 9.0, False), (2, 9.0, True)]
    assert all(20 <= c.num_pairs <= 600 for c in choice.candidates)


def test_the_usual_setting_is_kept_unless_another_is_clearly_better():
    usual = candidate(2, 3.0, after=-0.1)
    assert _pick([usual, candidate(3, 1.0, after=-0.105)]) == usual
    better = candidate(3, 1.0, after=-0.2)
    assert _pick([usual, better]) == better
    assert _pick([candidate(2, 3.0, after=-0.015)]) is None
    assert _pick([candidate(2, 3.0, after=0.4)]) is None


def test_images_that_pairs_connect_stay_in_one_half():
    halves = _halves(np.array([[0, 1], [1, 2], [4, 5]]), 7, seed=0)
    assert halves[0] == halves[1] == halves[2]
    assert halves[4] == halves[5]
    assert 0 < halves.sum() < 7


def test_too_few_pairs_to_judge_by_are_refused():
    features, camids, _ = site(ids=10)
    with pytest.raises(InputError, match="needs 20 held-out pairs"):
        choose_camera_noise(features, camids)

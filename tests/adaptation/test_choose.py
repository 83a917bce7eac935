import logging

import numpy as np
import pytest
from sites import site

from reid.adaptation import Candidate, Judgement, Setting, choose_camera_noise, fit_camera_noise, judge
from reid.adaptation.choose import LEAST_IMAGES, _groups, _halves, pick
from reid.adaptation.scaling import normalise
from reid.utils import InputError

pytest.importorskip("faiss")
USUAL = Setting()


def candidate(setting, gain, error=0.01):
    return Candidate(setting, Judgement(0.5, 0.5 + gain, error, 100))


def test_a_judgement_by_hand():
    found = Judgement.of(np.array([0.0, 0.5, 1.0, 0.5]), np.array([1.0, 0.5, 1.0, 0.5]))
    assert (found.before, found.after, found.gain, found.num_images) == (0.5, 0.75, 0.25, 4)
    assert found.error == pytest.approx(np.sqrt(0.75 / 3 / 4))
    assert not found.is_better  # a quarter, with an error of a quarter


@pytest.mark.parametrize(
    ("gain", "better", "clearly"),
    [(-0.1, False, False), (0, False, False), (0.015, True, False), (0.03, True, True)],
)
def test_better_is_by_standard_errors(gain, better, clearly):
    found = candidate(USUAL, gain).judgement
    assert (found.is_better, found.is_clearly_better) == (better, clearly)


def test_the_same_features_are_judged_alike():
    features, camids, _ = site(ids=40)
    found = judge(features, features * 3, camids)
    assert (found.gain, found.error, found.is_better) == (0, 0, False)


def test_whitened_features_are_judged_better_and_noisy_ones_worse():
    features, camids, _ = site(ids=150)
    fitted = fit_camera_noise(*site(seed=1, ids=150)[:2])
    assert judge(features, fitted.apply(features), camids).is_clearly_better
    noise = np.random.default_rng(0).normal(size=features.shape).astype(np.float32)
    assert not judge(fitted.apply(features), features + noise, camids).is_better


def test_widths_may_differ():
    features, camids, _ = site(ids=40)
    twice = np.hstack([features, features])
    assert judge(features, twice, camids).gain == pytest.approx(0, abs=0.01)


def test_of_many_images_some_are_judged(monkeypatch):
    features, camids, _ = site(ids=100)
    monkeypatch.setattr("reid.adaptation.choose.MOST_IMAGES", 50)
    once, again = judge(features, features + 1, camids), judge(features, features + 1, camids)
    assert once.num_images == 50
    assert once == again
    assert judge(features, features + 1, camids, seed=1) != once


def test_strong_noise_in_few_directions_is_denoised():
    features, camids, _ = site(ids=300)
    choice = choose_camera_noise(features, camids)
    gains = {c.setting: c.judgement.gain for c in choice.candidates}
    assert len(gains) == 12
    assert gains[choice.setting] > 0.05
    again = fit_camera_noise(features, camids, **vars(choice.setting))
    np.testing.assert_array_equal(choice.denoiser.weight, again.weight)


@pytest.mark.parametrize("seed", range(3))
def test_noise_alike_in_all_directions_is_left_alone(seed):
    features, camids, _ = site(seed=seed, ids=300, ratio=1.0, scale=0.5, offset=0.0)
    choice = choose_camera_noise(features, camids)
    assert (choice.denoiser, choice.setting) == (None, None)
    assert len(choice.candidates) == 12
    taken = choose_camera_noise(features, camids, always=True)
    assert taken.denoiser is not None
    assert taken.candidates == choice.candidates


@pytest.mark.parametrize("seed", range(3))
def test_a_choice_by_chance_does_little(seed):
    """Of twelve settings one may seem better by an error where nothing is to be gained."""
    features, camids, _ = site(seed=seed, ids=300, ratio=1.0, scale=0.2, offset=0.0)
    choice = choose_camera_noise(features, camids)
    if choice.denoiser is not None:
        denoised = choice.denoiser.apply(features, camids)
        assert abs(judge(features, denoised, camids).gain) < 0.01
        spread = np.linalg.eigvalsh(choice.denoiser.weight)
        assert spread.max() / spread.min() < 1.3


def test_offsets_of_cameras_ask_for_a_mean_per_camera():
    features, camids, _ = site(ids=300)
    features[camids == 1] += np.random.default_rng(0).normal(size=24).astype(np.float32)
    choice = choose_camera_noise(features, camids)
    assert choice.setting.mean_per_camera
    assert set(choice.denoiser.camera_means) == {0, 1}
    without = choose_camera_noise(features, camids, means=[False])
    assert not without.setting.mean_per_camera
    assert without.denoiser.camera_means == {}


def test_every_setting_asked_for_is_judged_on_all_images_each_held_out_once():
    features, camids, _ = site(ids=100)
    choice = choose_camera_noise(features, camids, neighbours=[2], shrinkages=[3.0, 9.0])
    assert [vars(c.setting) for c in choice.candidates] == [
        {"k": 2, "shrinkage": r, "mean_per_camera": mean} for r in (3.0, 9.0) for mean in (False, True)
    ]
    assert {c.judgement.num_images for c in choice.candidates} == {200}
    assert len({c.judgement.before for c in choice.candidates}) == 1


def test_the_same_choice_twice_and_affine_where_it_is_asked_for():
    features, camids, _ = site(ids=100)
    first, again = (choose_camera_noise(features, camids, affine=True) for _ in "12")
    assert first.candidates == again.candidates
    np.testing.assert_array_equal(first.denoiser.weight, again.denoiser.weight)
    assert first.denoiser.length is not None


def test_the_usual_k_and_r_are_kept_unless_others_are_better_by_an_error():
    near, far = candidate(Setting(3, 1.0), 0.105), candidate(Setting(3, 1.0), 0.2)
    usual = candidate(USUAL, 0.1)
    assert pick([usual, near]) == USUAL
    assert pick([usual, far]) == far.setting
    assert pick([usual, candidate(Setting(3, 1.0), 0.111)]) == Setting(3, 1.0)
    # The error is that of the best.
    assert pick([usual, candidate(Setting(3, 1.0), 0.2, error=0.15)]) == USUAL


def test_a_mean_per_camera_is_taken_where_it_is_better_by_an_error():
    for gain, expected in ((0.104, False), (0.109, False), (0.111, True)):
        per_camera = candidate(Setting(mean_per_camera=True), gain)
        assert pick([candidate(USUAL, 0.1), per_camera]).mean_per_camera == expected
    # With the usual k and r, though another k or r with one mean is as good.
    per_camera = candidate(Setting(mean_per_camera=True), 0.111)
    assert pick([candidate(USUAL, 0.1), candidate(Setting(2, 1.0), 0.112), per_camera]) == per_camera.setting


def test_nothing_is_picked_where_nothing_is_gained_by_an_error():
    for gain in (-0.4, 0.0, 0.0099):
        assert pick([candidate(USUAL, gain)]) is None
        assert pick([candidate(USUAL, gain)], always=True) == USUAL
    assert pick([candidate(USUAL, 0.011)]) == USUAL
    assert pick([candidate(Setting(3, 9.0), -0.1), candidate(Setting(3, 1.0), -0.3)], always=True) == Setting(
        3, 9.0
    )


def test_images_that_pairs_connect_stay_in_one_half_and_all_are_used():
    groups = np.repeat(np.arange(30), 3)[np.random.default_rng(0).permutation(90)]
    rows, half = _halves(groups, 1000, seed=0)
    assert rows.tolist() == list(range(90))
    assert half.sum() == 45
    for group in range(30):
        assert len(set(half[groups == group])) == 1


def test_of_many_images_whole_groups_are_looked_at():
    groups = np.repeat(np.arange(1000), 4)
    rows, half = _halves(groups, 400, seed=0)
    assert 350 <= len(rows) <= 450
    counts = np.bincount(groups[rows])
    assert set(counts[counts > 0]) == {4}
    assert abs(half.mean() - 0.5) < 0.1
    assert not np.array_equal(rows, _halves(groups, 400, seed=1)[0])


def test_groups_are_small_even_where_many_neighbours_would_connect_all():
    # On a line, mutual neighbours of two cameras form one chain, and pairs by k = 1 alone do not.
    line = np.arange(300, dtype=np.float32)[:, None] ** 1.01
    groups = _groups(line, np.arange(300) % 2)
    assert np.bincount(groups).max() <= 2


def test_groups_follow_pairs():
    features, camids, pids = site(ids=60, scale=0.02)
    groups = _groups(normalise(features), camids)
    for person in range(60):
        assert len(set(groups[pids == person])) == 1


def test_nine_pairs_are_too_few_and_ten_are_not(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    people = np.eye(10, dtype=np.float32)
    for count in (9, 10):
        seen = np.concatenate([people[:count], people[:count] + 0.01 * people[:count, ::-1]])
        camids = np.repeat([0, 1], count)
        choice = choose_camera_noise(seen, camids, neighbours=[1])
        assert (choice.denoiser is None) is (count == 9)
        assert choose_camera_noise(seen, camids, neighbours=[1], always=True).denoiser.num_pairs == count
    assert "too few pairs, 9; 10 are needed: nothing is fitted" in caplog.text


def test_with_too_few_images_the_usual_setting_is_taken_unjudged(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    features, camids, _ = site(ids=LEAST_IMAGES // 2 - 1)
    choice = choose_camera_noise(features, camids)
    assert (choice.candidates, choice.setting) == ((), USUAL)
    assert choice.denoiser is not None
    assert choice.reason == "too few images to judge by (38, in halves of 20 at least)"
    assert f"{choice.reason}: the usual setting is taken unjudged" in caplog.text
    given = choose_camera_noise(features, camids, neighbours=[5], shrinkages=[9.0, 2.0], means=[True])
    assert given.setting == Setting(5, 2.0, True)


def test_enough_images_are_judged():
    features, camids, _ = site(ids=LEAST_IMAGES)
    assert choose_camera_noise(features, camids).candidates


def test_a_half_without_pairs_of_two_cameras_is_not_judged():
    features, camids, _ = site(ids=100)
    alone = np.where(np.arange(200) == 150, 1, 0)
    choice = choose_camera_noise(features, alone)
    # One image of a camera is in few pairs.
    assert (choice.candidates, choice.setting, choice.denoiser) == ((), None, None)
    assert choice.reason.startswith("too few pairs, ")
    taken = choose_camera_noise(features, alone, always=True)
    assert (taken.candidates, taken.setting) == ((), USUAL)
    assert taken.reason == "too few images to judge by (half of them are of one camera, or give no pair)"
    with pytest.raises(InputError, match="at least two cameras, got 1"):
        choose_camera_noise(features, np.zeros_like(camids))


def test_options_are_checked_where_they_are_judged_too():
    features, camids, _ = site(ids=100)
    with pytest.raises(InputError, match=r"finite and at least 0\.001, got -1"):
        choose_camera_noise(features, camids, shrinkages=[-1.0])
    with pytest.raises(InputError, match="k = 101"):
        choose_camera_noise(features, camids, neighbours=[101])


def test_settings_in_words():
    assert USUAL.describe() == "k = 2, r = 3, one mean"
    assert Setting(3, 0.5, True).describe() == "k = 3, r = 0.5, a mean per camera"


def test_beside_means_of_cameras_there_is_the_map_with_one_mean():
    features, camids, _ = site(ids=150)
    options = {"neighbours": (2,), "shrinkages": (3.0,), "always": True}
    told = choose_camera_noise(features, camids, means=(True,), **options).denoiser
    alone = choose_camera_noise(features, camids, means=(False,), **options).denoiser
    assert alone.without_cameras is None
    np.testing.assert_array_equal(told.apply(features), alone.apply(features))
    assert not np.allclose(told.apply(features, camids), alone.apply(features, camids))


def test_bars_are_shown_when_they_are_asked_for(capsys):
    features, camids, _ = site(ids=60)
    silent = choose_camera_noise(features, camids)
    assert capsys.readouterr().err == ""
    shown = choose_camera_noise(features, camids, progress=True)
    told = capsys.readouterr().err
    assert "judged: 100%" in told
    assert "pairs: 100%" in told
    assert shown.candidates == silent.candidates

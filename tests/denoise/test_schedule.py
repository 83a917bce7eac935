import math

import naive_denoise as naive
import pytest
import torch

from reid.denoise import NoiseSchedule


def test_first_and_last_beta_are_the_given_ones():
    schedule = NoiseSchedule(timesteps=1000, beta_start=1e-4, beta_end=2e-3)
    assert schedule.beta(1) == 1e-4
    assert schedule.beta(1000) == pytest.approx(2e-3, rel=1e-12)


def test_tables_by_hand():
    schedule = NoiseSchedule(timesteps=3, beta_start=0.1, beta_end=0.3)
    assert [schedule.beta(t) for t in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.3])
    assert [schedule.alpha_bar(t) for t in (1, 2, 3)] == pytest.approx([0.9, 0.72, 0.504])
    scale, c1 = schedule.reverse_coefficients(2)
    assert scale == pytest.approx(1 / math.sqrt(0.8))
    assert c1 == pytest.approx(0.2 / (math.sqrt(0.8) * math.sqrt(0.28)))


@pytest.mark.parametrize("t", [1, 2, 24, 500, 1000])
def test_alpha_bar_equals_the_plain_product(t):
    schedule = NoiseSchedule(1000, 1e-4, 2e-2)
    assert schedule.alpha_bar(t) == pytest.approx(naive.alpha_bar(t, 1000, 1e-4, 2e-2), rel=1e-12)


def test_one_timestep_uses_beta_start():
    assert NoiseSchedule(1, 0.1, 0.2).beta(1) == 0.1


def test_without_rescaling_the_scale_is_one():
    plain, literal = NoiseSchedule(), NoiseSchedule(rescale=False)
    assert literal.reverse_coefficients(7)[0] == 1.0
    assert literal.reverse_coefficients(7)[1] == plain.reverse_coefficients(7)[1]


def test_diffused_features_keep_unit_variance():
    features = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.randn(200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    diffused = NoiseSchedule(10, 0.1, 0.5).diffuse(features, noise, 6)
    assert float(diffused.var()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("t", [0, -1, 1001])
def test_steps_outside_the_table_are_refused(t):
    with pytest.raises(ValueError, match=r"t must be in 1\.\.1000"):
        NoiseSchedule().beta(t)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1e-4, 2e-3), "timesteps must be at least 1, got 0"),
        ((10, 0.0, 2e-3), "1e-8 <= beta_start"),
        ((10, 1e-17, 2e-3), "1e-8 <= beta_start"),
        ((10, float("nan"), 2e-3), "1e-8 <= beta_start"),
        ((10, 2e-3, 1e-4), "beta_start <= beta_end"),
        ((10, 1e-4, 1.0), "beta_end < 1"),
    ],
)
def test_wrong_ranges_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NoiseSchedule(*arguments)

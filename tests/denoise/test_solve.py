"""The closed form: optimal, by hand, against gradients, and under fusion like any other denoiser."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from denoisers import relative_difference
from torch import nn

from reid.denoise import (
    DenoisedFeature,
    Denoiser,
    Moments,
    NoiseSchedule,
    attach_denoisers,
    collect_denoise_loss,
    denoised_layers,
    denoiser_parameters,
    fuse_denoisers,
    gather_statistics,
    loss_floor,
    solve_denoisers,
)

SCHEDULE = NoiseSchedule(12, 0.02, 0.3)


def features(n=400, d=5, seed=0, mean=0.7):
    """(n, d) float64 with correlated channels away from zero."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64) / d**0.5
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mix + mean


def solved(x, steps=1, bias=True, schedule=SCHEDULE):
    plain = nn.Linear(x.shape[1], 3, bias=bias).double()
    model = attach_denoisers(plain, ".*", schedule, steps)
    statistics = gather_statistics(model, x)
    return solve_denoisers(model, statistics), statistics


def expected_loss(denoiser, x):
    """E (W_D X_t + b_D - eps)^2 / d over the rows, the noise and the steps, from the definition.

    W_D X_t + b_D - eps = (sqrt(abar) W_D x + b_D) + (sqrt(1 - abar) W_D - I) eps.
    """
    weight = denoiser.weight.detach().numpy()
    bias = 0 if denoiser.bias is None else denoiser.bias.detach().numpy()
    losses = []
    for t in denoiser.timesteps:
        abar = denoiser.schedule.alpha_bar(t)
        signal = math.sqrt(abar) * x.numpy() @ weight.T + bias
        noise = math.sqrt(1 - abar) * weight - np.eye(len(weight))
        losses.append((np.mean((signal**2).sum(1)) + (noise**2).sum()) / len(weight))
    return float(np.mean(losses))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_solved_denoiser_has_the_floor_as_its_loss_and_nothing_near_it_is_better(steps, bias):
    x = features()
    model, statistics = solved(x, steps, bias)
    floor = loss_floor(model, statistics)[""]
    best = expected_loss(model.denoiser, x)
    assert best == pytest.approx(floor, rel=1e-10)
    assert 0 < floor < 1
    generator = torch.Generator().manual_seed(1)
    for parameter in denoiser_parameters(model):
        for size in (1e-3, 1e-1):
            change = size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data += change
            assert expected_loss(model.denoiser, x) > best
            parameter.data -= change


def test_the_loss_that_training_sees_is_the_floor():
    x = features(n=20_000)
    model, statistics = solved(x)
    loss = model.denoiser.loss(x, "l2", torch.Generator().manual_seed(0))
    # 20,000 x 5 squares of deviation about sqrt(2) times their mean.
    assert float(loss.detach()) == pytest.approx(loss_floor(model, statistics)[""], rel=0.02)


def test_training_approaches_the_floor_and_does_not_beat_it():
    x = features(d=3)
    model = attach_denoisers(nn.Linear(3, 3).double(), ".*", NoiseSchedule(1, 0.5, 0.5))
    floor = loss_floor(model, gather_statistics(model, x))[""]
    optimizer = torch.optim.Adam(denoiser_parameters(model), lr=0.05)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.98)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        with collect_denoise_loss(model, "l2", generator) as losses, torch.no_grad():
            model(x)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        decay.step()
    assert floor < expected_loss(model.denoiser, x) < floor * 1.01


def test_one_direction_by_hand():
    """Features 1 and 3, mean 2 and variance 1, beta 1/2, t = 1: abar = 1/2, so C = 1 and

    W_D = sqrt(1/2), b_D = -sqrt(1/2) sqrt(1/2) 2 = -1, and the floor is 1 - 1/2.
    """
    model, statistics = solved(
        torch.tensor([[1.0], [3.0]], dtype=torch.float64), 1, True, NoiseSchedule(1, 0.5, 0.5)
    )
    assert model.denoiser.weight.item() == pytest.approx(math.sqrt(0.5))
    assert model.denoiser.bias.item() == pytest.approx(-1.0)
    assert loss_floor(model, statistics)[""] == pytest.approx(0.5)


def test_one_step_shrinks_towards_the_noisy_mean_and_then_scales():
    """X' = ((1 - k) x + k sqrt(abar) m) / sqrt(a), k = beta / (abar v + 1 - abar) where the variance is v."""
    m, v = 3.0, 0.25
    x = torch.tensor([[m - v**0.5], [m + v**0.5]], dtype=torch.float64)
    schedule = NoiseSchedule(1000, 1e-4, 2e-3)
    for t in (1, 24, 1000):
        denoiser = Denoiser(1, t, 1, schedule).double()
        model = DenoisedFeature(nn.Identity(), 1, schedule=schedule)
        model.denoiser = denoiser
        step = solve_denoisers(model, x).denoiser
        beta, abar = schedule.beta(t), schedule.alpha_bar(t)
        k = beta / (abar * v + 1 - abar)
        expected = ((1 - k) * x + k * math.sqrt(abar) * m) / math.sqrt(1 - beta)
        torch.testing.assert_close(step(x), expected, rtol=1e-10, atol=1e-12)


def test_the_papers_betas_shrink_by_less_than_034_percent_where_the_variance_is_a_tenth_or_more():
    schedule = NoiseSchedule()
    shares = [
        schedule.beta(t) / (schedule.alpha_bar(t) * 0.1 + 1 - schedule.alpha_bar(t)) for t in range(1, 1001)
    ]
    assert 0.0033 < max(shares) < 0.0034
    assert max(1 / math.sqrt(schedule.alpha(t)) for t in range(1, 1001)) < 1.0011


@pytest.mark.parametrize("kind", ["constant", "one row", "fewer rows than channels", "one dead channel"])
def test_degenerate_features_have_finite_and_optimal_denoisers(kind):
    x = features(n=400, d=6)
    if kind == "constant":
        x = x[:1].expand(50, -1).clone()
    elif kind == "one dead channel":
        x[:, 2] = 0
    else:
        x = x[: 1 if kind == "one row" else 4]
    model, statistics = solved(x)
    weight = model.denoiser.weight
    assert weight.isfinite().all()
    assert expected_loss(model.denoiser, x) == pytest.approx(loss_floor(model, statistics)[""], abs=1e-9)
    # Where nothing varies, all that differs from the mean is noise: W_D = I / sqrt(1 - abar).
    if kind in ("constant", "one row"):
        ideal = torch.eye(6, dtype=torch.float64) / math.sqrt(1 - SCHEDULE.alpha_bar(1))
        torch.testing.assert_close(weight.detach(), ideal, rtol=1e-8, atol=1e-8)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.mlp = nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 4, bias=False))

    def forward(self, x):
        return self.mlp(self.norm(self.conv(x)).relu().mean((2, 3)))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_solved_denoisers_fuse_like_any_other(dtype, tolerance):
    torch.manual_seed(0)
    plain = Small().to(dtype).eval()
    images = torch.randn(40, 3, 8, 8).to(dtype)
    model = attach_denoisers(plain, "all", NoiseSchedule(20, 0.01, 0.2), steps=2)
    before = [parameter.clone() for parameter in model.parameters()]
    best = solve_denoisers(model, images.split(7))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert {parameter.dtype for parameter in best.parameters()} == {dtype}
    fused = fuse_denoisers(best)
    assert relative_difference(fused(images).detach(), best(images).detach()) < tolerance
    assert relative_difference(plain(images).detach(), best(images).detach()) > 100 * tolerance
    assert list(fused.state_dict()) == list(plain.state_dict())


def test_statistics_serve_every_schedule_and_number_of_steps():
    torch.manual_seed(0)
    plain, images = Small().double().eval(), torch.randn(30, 3, 6, 6).double()
    statistics = gather_statistics(attach_denoisers(plain, "all"), images)
    other = attach_denoisers(plain, "all", SCHEDULE, steps=4)
    by_statistics, by_images = solve_denoisers(other, statistics), solve_denoisers(other, images)
    for name, layer in denoised_layers(by_statistics).items():
        torch.testing.assert_close(layer.denoiser.weight, by_images.get_submodule(name).denoiser.weight)
        assert layer.denoiser.timesteps == other.get_submodule(name).denoiser.timesteps


def test_statistics_of_other_layers_or_widths_are_refused():
    model = attach_denoisers(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), r"\d")
    statistics = gather_statistics(model, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="the statistics lack the layer '1'"):
        solve_denoisers(model, {"0": statistics["0"]})
    narrow = gather_statistics(attach_denoisers(nn.Sequential(nn.Linear(2, 3)), "0"), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="the statistics of '0' have 2 channels, its denoiser 3"):
        loss_floor(model, statistics | narrow)


def lone(lowest, beta, d=4, bias=True):
    """A layer that takes one step with 1 - abar = beta, and statistics of eigenvalues 1 and ``lowest``."""
    model = attach_denoisers(nn.Sequential(nn.Linear(d, 2, bias=bias)), "0", NoiseSchedule(1, beta, beta))
    scatter = torch.eye(d, dtype=torch.float64)
    scatter[-1, -1] = lowest
    return model, {"0": Moments(1, torch.ones(d, dtype=torch.float64), scatter)}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("solve", [solve_denoisers, loss_floor])
@pytest.mark.parametrize("lowest", [-1.0, -1e-6, -1.2e-7])
def test_rounding_that_is_not_small_beside_the_noise_is_refused_in_a_line(solve, lowest, bias):
    """From a tenth of the noise 1e-6 on; more than all of it has no factor."""
    message = r"'0' must be well above the rounding of its covariance, got 1\.0e-06 .*raise beta_start or t"
    with pytest.raises(ValueError, match=message) as refused:
        solve(*lone(lowest, 1e-6, bias=bias))
    assert not isinstance(refused.value, torch.linalg.LinAlgError)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("size", [1e155, 1e300])
def test_statistics_too_large_for_float64_are_refused_in_a_line(size):
    model = attach_denoisers(nn.Linear(3, 2), ".*")
    moments = Moments(9, torch.full((3,), size, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="too large for float64 beside the noise"):
        solve_denoisers(model, {"": moments})


def test_an_eigenvalue_that_rounding_left_above_0_is_refused_too():
    """1e-8 of the largest is above the noise, and whether this one is rounding cannot be told."""
    model, statistics = lone(1e-10, 1e-8)
    large = {"0": replace(statistics["0"], scatter=10 * statistics["0"].scatter)}
    with pytest.raises(ValueError, match=r"got 1\.0e-08 and eigenvalues of 1\.0e-09"):
        solve_denoisers(model, large)
    solve_denoisers(model, statistics)


@pytest.mark.parametrize(("lowest", "beta"), [(-0.9e-7, 1e-6), (0.0, 1e-8), (1e-9, 1e-6), (-2e-7, 1e-4)])
def test_a_lowest_eigenvalue_that_is_small_beside_the_noise_is_taken(lowest, beta):
    model, statistics = lone(lowest, beta)
    found = solve_denoisers(model, statistics)[0].denoiser.weight[-1, -1]
    assert float(found.detach()) == pytest.approx(math.sqrt(beta) / ((1 - beta) * lowest + beta), rel=1e-4)


@pytest.mark.parametrize(("dtype", "is_refused"), [(torch.float32, True), (torch.float64, False)])
def test_flat_features_need_float64_where_there_is_next_to_no_noise(dtype, is_refused):
    """16 vectors of 64 channels: 48 directions in which all that is left of S is rounding."""
    x = 10 * features(n=16, d=64).to(dtype)
    model = attach_denoisers(nn.Linear(64, 3).to(dtype), ".*", NoiseSchedule(1, 1e-7, 1e-7))
    statistics = gather_statistics(model, x)
    if is_refused:
        with pytest.raises(ValueError, match="at 'the model' must be well above the rounding"):
            solve_denoisers(model, statistics)
    else:
        assert 0 < loss_floor(model, statistics)[""] < 0.3

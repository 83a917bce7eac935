"""The integrated L2 loss against loops, drawn noise, autograd and the closed-form optimum."""

import pytest
import torch

from reid.denoise import Denoiser, Moments, NoiseSchedule, attach_denoisers, loss_floor, solve_denoisers
from reid.denoise.expected import expected_l2
from reid.denoise.schedule import Mixing

SCHEDULE = NoiseSchedule(20, 0.05, 0.3)
MIXING = SCHEDULE.mixing((7, 6, 5))


def draw(count, dim, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    weight, bias, rows = (
        torch.randn(shape, generator=generator, dtype=dtype) for shape in ((dim, dim), (dim,), (count, dim))
    )
    return (weight / dim**0.5).requires_grad_(), bias.requires_grad_(), 0.5 + rows


def plain_loop(weight, bias, rows, mixing):
    """E over eps and t of |W x_t + b - eps|^2, term by term: E eps_i eps_j = [i = j], E eps_i = 0."""
    weight, bias, rows = weight.tolist(), bias.tolist(), rows.tolist()
    p, q, k = mixing
    dim, total = len(bias), 0.0
    for x in rows:
        for i in range(dim):
            wx = sum(weight[i][j] * x[j] for j in range(dim))
            noise = sum(weight[i][j] ** 2 for j in range(dim))
            total += p * wx**2 + 2 * q * wx * bias[i] + bias[i] ** 2
            total += (1 - p) * noise - 2 * k * weight[i][i] + 1
    return total / (len(rows) * dim)


def test_one_dimension_by_hand():
    """W = 0.5, b = 0.25, rows 1 and 3: E x^2 = 5, E x = 2; p = 0.64, q = 0.8, k = 0.6."""
    weight, bias = torch.tensor([[0.5]]), torch.tensor([0.25])
    loss = expected_l2(weight, bias, torch.tensor([[1.0], [3.0]]), Mixing(0.64, 0.8, 0.6))
    by_hand = 0.64 * 0.25 * 5 + 2 * 0.8 * 0.25 * 0.5 * 2 + 0.0625 + 0.36 * 0.25 - 2 * 0.6 * 0.5 + 1
    assert float(loss) == pytest.approx(by_hand)


# Fewer rows than channels go through the rows, others through the second moments.
@pytest.mark.parametrize(("count", "dim"), [(1, 1), (1, 4), (3, 4), (4, 4), (9, 4), (9, 1)])
def test_the_value_is_that_of_a_plain_loop(count, dim):
    weight, bias, rows = draw(count, dim)
    loss = expected_l2(weight, bias, rows, MIXING)
    assert float(loss.detach()) == pytest.approx(plain_loop(weight, bias, rows, MIXING), rel=1e-12)


# 258 channels: blocks of columns, of 65, 65, 65 and 63.
@pytest.mark.parametrize(("count", "dim"), [(3, 5), (11, 5), (100, 258), (300, 258)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_the_gradient_is_that_of_the_formula(count, dim, has_bias):
    weight, bias, rows = draw(count, dim)
    bias = bias if has_bias else None
    p, q, k = MIXING
    written = p * (rows @ weight.T).square().sum() / count + (1 - p) * weight.square().sum() + dim
    written = written - 2 * k * weight.trace()
    if has_bias:
        written = written + 2 * q * bias @ weight @ rows.mean(0) + bias.square().sum()
    inputs = [weight, bias] if has_bias else [weight]
    expected = torch.autograd.grad(3 * written / dim, inputs)
    loss = expected_l2(weight, bias, rows, MIXING)
    found = torch.autograd.grad(3 * loss, inputs)
    torch.testing.assert_close(loss, written / dim)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("steps", [1, 3])
def test_drawn_noise_gives_it_in_the_mean(steps):
    denoiser, features = Denoiser(3, 7, steps, SCHEDULE).double(), draw(5, 3)[2]
    denoiser.weight.data, denoiser.bias.data = (value.detach() for value in draw(5, 3)[:2])
    generator, total = torch.Generator().manual_seed(1), 0.0
    many = features.repeat(40_000, 1)
    for t in denoiser.timesteps:
        noise = torch.randn(many.shape, generator=generator, dtype=torch.float64)
        total += (denoiser.predict(SCHEDULE.diffuse(many, noise, t)) - noise).square().mean() / steps
    assert denoiser.loss(features).item() == pytest.approx(float(total), rel=0.01)


@pytest.mark.parametrize("steps", [1, 4])
def test_at_the_closed_form_optimum_it_is_the_floor_and_has_no_gradient(steps):
    rows = draw(50, 6)[2]
    centred = rows - rows.mean(0)
    statistics = {"": Moments(len(rows), rows.mean(0), centred.T @ centred)}
    layer = attach_denoisers(torch.nn.Linear(6, 2).double(), ".*", SCHEDULE, steps=steps)
    layer = solve_denoisers(layer, statistics)
    loss = layer.denoiser.loss(rows)
    assert float(loss.detach()) == pytest.approx(loss_floor(layer, statistics)[""], rel=1e-10)
    loss.backward()
    assert float(layer.denoiser.weight.grad.abs().max()) < 1e-12
    assert float(layer.denoiser.bias.grad.abs().max()) < 1e-12


def test_float32_keeps_its_digits_where_a_feature_is_nearly_constant_and_far_from_zero():
    """Its large terms cancel: at the optimum q W_D mu = -b_D."""
    rows = torch.cat([draw(400, 3)[2], 20 + 1e-3 * draw(400, 3, seed=1)[2]], dim=1)
    centred = rows - rows.mean(0)
    layer = attach_denoisers(torch.nn.Linear(6, 2), ".*", NoiseSchedule())
    layer = solve_denoisers(layer, {"": Moments(len(rows), rows.mean(0), centred.T @ centred)})
    exact = layer.double().denoiser.loss(rows)
    assert float(layer.float().denoiser.loss(rows.float())) == pytest.approx(float(exact), abs=1e-3)


def test_it_cannot_be_differentiated_twice():
    weight, bias, rows = draw(3, 3)
    (gradient,) = torch.autograd.grad(expected_l2(weight, bias, rows, MIXING), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        gradient.sum().backward()

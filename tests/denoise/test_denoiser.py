import naive_denoise as naive
import pytest
import torch
from denoisers import randomise_denoisers

from reid.denoise import Denoiser, NoiseSchedule

SCHEDULE = NoiseSchedule(20, 0.01, 0.2)


def make(dim=3, t=5, steps=1, **options):
    return randomise_denoisers(Denoiser(dim, t, steps, SCHEDULE, **options).double())


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_reverse_steps_equal_the_plain_loop(steps):
    denoiser = make(steps=steps)
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    expected = x.tolist()
    for t in range(5, 5 - steps, -1):
        weight, bias = denoiser.weight.tolist(), denoiser.bias.tolist()
        expected = naive.reverse_step(expected, weight, bias, t, 20, 0.01, 0.2)
    assert denoiser(x).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_affine_form_equals_the_steps(steps, bias):
    denoiser = make(dim=4, steps=steps, bias=bias)
    x = torch.randn(6, 4, dtype=torch.float64)
    matrix, constant = denoiser.as_affine()
    torch.testing.assert_close(x @ matrix.T + constant, denoiser(x), rtol=1e-12, atol=1e-12)
    if not bias:
        assert constant.abs().max() == 0


def test_two_steps_compose_in_the_order_of_falling_t():
    """A = A_{t-1} A_t. With W_D = w and b_D = b in one dimension it can be written out."""
    denoiser = Denoiser(1, 2, 2, NoiseSchedule(2, 0.5, 0.5)).double()
    denoiser.weight.data.fill_(0.3)
    denoiser.bias.data.fill_(0.7)
    (s1, c1), (s2, c2) = (denoiser.schedule.reverse_coefficients(t) for t in (1, 2))
    matrix, constant = denoiser.as_affine()
    assert float(matrix) == pytest.approx((s1 - c1 * 0.3) * (s2 - c2 * 0.3))
    assert float(constant) == pytest.approx((s1 - c1 * 0.3) * (-c2 * 0.7) - c1 * 0.7)


def test_channels_of_an_image_are_denoised_pixel_by_pixel():
    rows, image = make(dim=3), make(dim=3, channel_dim=-3)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = rows(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(image(x), expected, rtol=1e-12, atol=1e-12)


def test_a_new_denoiser_only_rescales():
    x = torch.randn(2, 3)
    assert torch.equal(Denoiser(3, 5, 1, SCHEDULE)(x), SCHEDULE.reverse_coefficients(5)[0] * x)


def test_a_new_denoiser_has_a_loss_of_one():
    assert Denoiser(50, 5, 1, SCHEDULE).loss(torch.randn(20, 50)).item() == 1.0


def test_the_perfect_denoiser_of_no_signal_finds_the_noise():
    """Features that are all zero: X_t = sqrt(1 - abar) eps, so W_D = I / sqrt(1 - abar) is exact."""
    denoiser = Denoiser(4, 7, 1, SCHEDULE).double()
    denoiser.weight.data = torch.eye(4, dtype=torch.float64) / (1 - SCHEDULE.alpha_bar(7)) ** 0.5
    for kind in ("l1", "l2", "l1+l2"):
        assert denoiser.loss(torch.zeros(10, 4, dtype=torch.float64), kind) < 1e-12


def test_losses_by_hand():
    denoiser = Denoiser(2, 7, 1, SCHEDULE).double()
    features = torch.ones(3, 2, dtype=torch.float64)
    noise = torch.randn(3, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    losses = {
        kind: denoiser.loss(features, kind, torch.Generator().manual_seed(4)).item()
        for kind in ("l1", "l2", "l1+l2")
    }
    assert losses["l1"] == pytest.approx(float(noise.abs().mean()))
    assert losses["l2"] == 1  # the mean of eps^2
    assert losses["l1+l2"] == pytest.approx(losses["l1"] + float((noise**2).mean()))


class Watched(NoiseSchedule):
    """Mixes nothing in and keeps what it is given."""

    def diffuse(self, features, noise, t):
        self.__dict__["seen"] = features
        return features


def positions_seen(channel_dim, share, generator):
    """The rows that the loss reads of 24 positions, where position p holds p in every channel."""
    denoiser = Denoiser(3, 5, 1, Watched(20), channel_dim=channel_dim)
    denoiser.loss(numbered(channel_dim), "l1", generator, share)
    return denoiser.schedule.seen


def numbered(channel_dim):
    """24 positions of 3 channels: (4, 6, 3) or (4, 3, 2, 3); the value is the position's number."""
    shape = (4, 6, 3) if channel_dim == -1 else (4, 2, 3, 3)
    rows = torch.arange(24.0, dtype=torch.float64)[:, None].expand(24, 3)
    return rows.reshape(shape).movedim(-1, channel_dim)


@pytest.mark.parametrize("channel_dim", [-1, -3])
@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, 6), (0.75, 18), (0.1, 2), (0.001, 1), (0.99, 24), (1, 24), (1.0, 24)]
)
def test_a_share_reads_so_many_different_positions(channel_dim, share, expected):
    rows = positions_seen(channel_dim, share, torch.Generator().manual_seed(0))
    assert rows.shape == (expected, 3)
    assert bool((rows == rows[:, :1]).all())
    assert len(set(rows[:, 0].tolist())) == expected


@pytest.mark.parametrize("channel_dim", [-1, -3])
def test_every_position_takes_its_turn(channel_dim):
    """Of 400 draws of a quarter, each of 24 positions is in 100, give or take five deviations of 8.7."""
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(24)
    for _ in range(400):
        counts[positions_seen(channel_dim, 0.25, generator)[:, 0].long()] += 1
    assert counts.min() > 56
    assert counts.max() < 144


@pytest.mark.parametrize(
    ("kind", "channel_dim"), [("l1", -1), ("l1", -3), ("l2", -1), ("l2", -3), ("l1+l2", -1)]
)
def test_loss_and_gradient_of_a_share_are_those_of_all_positions_in_the_mean(kind, channel_dim):
    """The features grow fourfold over the positions: always the same ones would be far off."""
    denoiser, generator = make(channel_dim=channel_dim), torch.Generator().manual_seed(5)
    features = torch.randn(24, 3, generator=generator, dtype=torch.float64)
    features *= torch.linspace(1, 4, 24)[:, None]
    features = features.reshape(4, 2, 3, 3).movedim(-1, -3) if channel_dim == -3 else features
    found = {}
    for share in (1.0, 0.25):
        denoiser.zero_grad()
        loss = torch.stack([denoiser.loss(features, kind, generator, share) for _ in range(400)]).mean()
        loss.backward()
        found[share] = loss.item(), denoiser.weight.grad.clone()
    (whole, gradient), (part, estimate) = found[1.0], found[0.25]
    # The mean of 400 shares has a deviation of about 2 %.
    assert part == pytest.approx(whole, rel=0.06)
    assert (estimate - gradient).norm() < 0.1 * gradient.norm()


def test_the_loss_of_two_distances_shares_its_noise():
    denoiser, features = make(), torch.randn(8, 3, dtype=torch.float64)
    noise = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    error = denoiser.predict(SCHEDULE.diffuse(features, noise, 5)) - noise
    loss = denoiser.loss(features, "l1+l2", torch.Generator().manual_seed(4), 1)
    torch.testing.assert_close(loss, error.abs().mean() + error.square().mean())


@pytest.mark.parametrize("channel_dim", [-1, -3])
def test_a_share_is_reproducible_and_torchs_own_generator_serves_too(channel_dim):
    denoiser, features = make(channel_dim=channel_dim), numbered(channel_dim)
    losses = []
    for _ in range(2):
        torch.manual_seed(7)
        losses.append(denoiser.loss(features, "l1", share=0.25))
    other = denoiser.loss(features, "l1", share=0.25)
    assert torch.equal(*losses)
    assert not torch.equal(losses[0], other)


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ValueError, match=rf"share of positions must be in \(0, 1\], got {share}"):
        make().loss(torch.zeros(4, 3, dtype=torch.float64), share=share)


def test_the_loss_sends_no_gradient_into_the_features():
    features = torch.randn(5, 3, requires_grad=True, dtype=torch.float64)
    denoiser = make()
    denoiser.loss(features).backward()
    assert features.grad is None
    assert denoiser.weight.grad.abs().sum() > 0
    assert denoiser.bias.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_loss_is_computed_in_float32_at_least(dtype):
    denoiser = make().to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        loss = denoiser.loss(torch.randn(5, 3).to(dtype))
    assert loss.dtype == torch.promote_types(dtype, torch.float32)


def test_every_step_of_a_layer_is_drawn():
    denoiser = make(t=6, steps=3)
    drawn = {denoiser._draw_t(torch.zeros(1), torch.Generator().manual_seed(s)) for s in range(50)}
    assert drawn == {4, 5, 6}


def test_training_reaches_the_analytic_optimum():
    """In one dimension L2 on features of variance v has W_D = sqrt(1-abar) / (abar v + 1 - abar)."""
    schedule, generator = NoiseSchedule(10, 0.2, 0.2), torch.Generator().manual_seed(0)
    denoiser = Denoiser(1, 3, 1, schedule)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=0.02)
    features = 0.5 * torch.randn(4096, 1, generator=generator)
    for _ in range(300):
        optimizer.zero_grad()
        denoiser.loss(features, "l2", generator).backward()
        optimizer.step()
    abar = schedule.alpha_bar(3)
    optimum = (1 - abar) ** 0.5 / (abar * float(features.var()) + 1 - abar)
    assert denoiser.weight.item() == pytest.approx(optimum, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"t": 0}, r"t must be in 1\.\.20, got 0"),
        ({"t": 21}, "got 21"),
        ({"t": 2, "steps": 3}, "got 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"channel_dim": 1}, "channel_dim must be -1 or -3, got 1"),
        ({"strength": -0.1}, r"strength must be in \[0, 1\], got -0\.1"),
        ({"strength": 1.1}, "got 1.1"),
        ({"strength": float("nan")}, "got nan"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match=r"one of l1, l2, l1\+l2, got 'huber'"):
        make().loss(torch.zeros(1, 3), "huber")


@pytest.mark.parametrize("channel_dim", [-1, -3])
@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_strength_goes_that_part_of_the_way(strength, channel_dim):
    whole, part = (make(4, 5, 3, channel_dim=channel_dim, strength=s) for s in (1.0, strength))
    x = torch.randn(2, 4, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(part(x), (1 - strength) * x + strength * whole(x), rtol=1e-12, atol=1e-12)
    matrix, constant = part.as_affine()
    affine = x.movedim(channel_dim, -1) @ matrix.T + constant
    torch.testing.assert_close(affine.movedim(-1, channel_dim), part(x), rtol=1e-12, atol=1e-12)
    assert f"strength={strength}" in repr(part)


def test_no_strength_is_the_identity_and_all_of_it_costs_nothing():
    x, identity = torch.randn(5, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    none, whole = make(steps=2, strength=0.0), make(steps=2)
    assert torch.equal(none(x), x)
    matrix, constant = none.as_affine()
    assert torch.equal(matrix, identity)
    assert torch.equal(constant, torch.zeros(3, dtype=torch.float64))
    plain = x
    for t in whole.timesteps:
        scale, c1 = SCHEDULE.reverse_coefficients(t)
        plain = scale * plain - c1 * whole.predict(plain)
    assert torch.equal(whole(x), plain)


def test_the_loss_does_not_depend_on_the_strength():
    features = torch.randn(6, 3, dtype=torch.float64)
    assert torch.equal(make(strength=0.0).loss(features), make().loss(features))

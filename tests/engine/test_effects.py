"""How far features turn: by hand, by a plain loop, and where float32 would see nothing."""

import math

import pytest
import torch

from reid.engine.effects import mean_turn


def test_right_angles_opposites_and_lengths_by_hand():
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    others = torch.tensor([[0.0, 2.0], [-5.0, 0.0], [6.0, 8.0], [1.0, 0.0]])
    assert mean_turn(features, others) == pytest.approx((1 + 2 + 0 + 1) / 4)
    assert mean_turn(features[:3], features[:3]) == 0


def test_it_is_1_less_the_mean_cosine_of_a_plain_loop():
    a, b = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0)).double()
    cosines = [
        sum(x * y for x, y in zip(one, two, strict=True)) / math.hypot(*one) / math.hypot(*two)
        for one, two in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert mean_turn(a, b) == pytest.approx(1 - sum(cosines) / 9)


@pytest.mark.parametrize("angle", [1e-3, 1e-5])
def test_a_turn_that_float32_cosines_do_not_see_is_seen(angle):
    """1 - cos(x) is x^2 / 2."""
    a = torch.tensor([[1.0, 0.0]])
    assert mean_turn(a, torch.tensor([[1.0, angle]])) == pytest.approx(angle**2 / 2, rel=1e-4)

"""Where every layer's steps begin: by hand, against the definition, and what leaves the schedule."""

from fractions import Fraction

import pytest

from reid.denoise.timesteps import first_timesteps, read_rule


@pytest.mark.parametrize(
    ("layers", "steps", "rule", "expected"),
    [
        (4, 1, "depth", [4, 3, 2, 1]),
        (3, 2, "depth", [6, 4, 2]),
        (4, 1, "spread", [1000, 750, 500, 250]),
        (3, 1, "spread", [1000, 667, 333]),
        (3, 2, "spread", [1000, 667, 333]),
        (1, 1, "spread", [1000]),
        (3, 2, "100", [100, 100, 100]),
        (3, 2, 2, [2, 2, 2]),
        (2, 5, 1000, [1000, 1000]),
    ],
)
def test_by_hand(layers, steps, rule, expected):
    assert first_timesteps(layers, steps, 1000, rule) == expected


def test_the_papers_rule_is_the_default():
    assert first_timesteps(3, 2, 10) == first_timesteps(3, 2, 10, "depth")


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("timesteps", [12, 13, 30, 1000])
@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_spread_steps_fall_stay_in_the_schedule_and_never_meet(layers, timesteps, steps):
    firsts = first_timesteps(layers, steps, timesteps, "spread")
    taken = [t for first in firsts for t in range(first, first - steps, -1)]
    assert taken == sorted(set(taken), reverse=True)
    assert (taken[0], taken[-1] >= 1) == (timesteps, True)
    for i, t in enumerate(firsts):
        assert abs(t - Fraction(timesteps * (layers - i), layers)) <= Fraction(1, 2)


@pytest.mark.parametrize("rule", ["depth", "spread"])
def test_a_schedule_that_the_steps_just_fill_is_taken_whole(rule):
    assert first_timesteps(4, 3, 12, rule) == [12, 9, 6, 3]
    with pytest.raises(ValueError, match="4 layers of 3 steps need 12 timesteps, the schedule has 11; raise"):
        first_timesteps(4, 3, 11, rule)


@pytest.mark.parametrize("rule", [0, 1, 11, "1", "11", -3, 10**30])
def test_a_number_outside_the_schedule_is_refused(rule):
    with pytest.raises(ValueError, match=r"every layer begins at must be in 2\.\.10 .* got "):
        first_timesteps(3, 2, 10, rule)


@pytest.mark.parametrize("rule", ["", "Depth", "-3", "1.0", "²", "9" * 5000, True, 2.0, None])
def test_what_is_no_rule_is_refused(rule):
    with pytest.raises(
        ValueError, match="t_rule must be depth, spread or a whole number such as '100', got "
    ):
        read_rule(rule)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        first_timesteps(3, 0, 10)

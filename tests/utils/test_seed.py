"""Three generators, one seed."""

import random

import numpy as np
import pytest
import torch

from reid.utils import seed_everything, seeded_generator


def draw(*numbers):
    seed_everything(*numbers)
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def test_the_same_numbers_give_the_same_draws():
    assert draw(1234, 5) == draw(1234, 5)


@pytest.mark.parametrize("other", [(2, 1), (1, 3), (1,), (12,), (1, 2, 1)])
def test_other_numbers_change_every_generator(other):
    assert all(a != b for a, b in zip(draw(1, 2), draw(*other), strict=True))


def test_the_three_generators_do_not_draw_alike():
    assert len(set(draw(0))) == 3


def test_a_seed_as_large_as_the_config_allows_is_taken():
    assert draw(2**63 - 1, 120) == draw(2**63 - 1, 120)


def test_no_global_flag_of_torch_changes():
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    seed_everything(1)
    assert (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark) == before


def draw_alone(*numbers):
    return torch.rand(1, generator=seeded_generator(torch.device("cpu"), *numbers)).item()


def test_a_generator_of_its_own_draws_by_its_numbers_and_leaves_the_global_ones_alone():
    torch.manual_seed(0)
    expected = torch.rand(1).item()
    torch.manual_seed(0)
    assert draw_alone(1234, 5) == draw_alone(1234, 5)
    assert torch.rand(1).item() == expected


def test_a_generator_of_its_own_draws_unlike_the_global_ones_and_unlike_those_of_other_numbers():
    numbers = [(1, 2), (2, 1), (1, 3), (1,), (12,), (1, 2, 1), (2**63 - 1, 120)]
    found = {draw_alone(*row) for row in numbers} | {draw(*row)[2] for row in numbers}
    assert len(found) == 2 * len(numbers)

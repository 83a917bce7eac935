"""Symmetric sums in blocks, against the whole product."""

import pytest
import torch

from reid.denoise import outer


def draw(n, d):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n), dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2, 5, 7, 8, 9])
@pytest.mark.parametrize("block_from", [1, 100])
def test_blocks_give_the_whole_product(monkeypatch, d, block_from):
    monkeypatch.setattr(outer, "BLOCK_FROM", block_from)
    first, second = draw(6, d), draw(3, d)
    expected = first.T @ first
    torch.testing.assert_close(outer.sum_of_outer_products(first), expected, rtol=1e-12, atol=1e-12)
    total = torch.zeros(d, d, dtype=torch.float64)
    for rows in (first, second):
        outer.add_outer_products(total, rows)
    whole = outer.mirrored(total)
    torch.testing.assert_close(whole, expected + second.T @ second, rtol=1e-12, atol=1e-12)
    assert torch.equal(whole, whole.T)


def test_a_sum_keeps_its_own_precision():
    total = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(3):
        outer.add_outer_products(total, torch.full((1, 2), 1 + 2**-12, dtype=torch.float32))
    assert total[0, 0] == 3 * float(torch.tensor(1 + 2**-12) ** 2)


def test_mirrored_by_hand():
    matrix = torch.tensor([[1.0, 2.0, 3.0], [9.0, 4.0, 5.0], [9.0, 9.0, 6.0]])
    expected = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    assert torch.equal(outer.mirrored(matrix), expected)

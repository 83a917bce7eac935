"""Sums of outer products: symmetric, so little more than half of them is computed."""

from collections.abc import Iterator

from torch import Tensor

# Blocks of columns that a sum is computed in, where it is worth the calls: 5/8 of the products.
BLOCKS, BLOCK_FROM = 4, 512


def sum_of_outer_products(rows: Tensor) -> Tensor:
    """R^T R for R (n, d), each block beside the diagonal computed once for both of its places."""
    d = rows.shape[1]
    result = rows.new_empty(d, d)
    for here, there in _upper_blocks(d):
        block = rows[:, here].T @ rows[:, there]
        result[here, there] = block
        if here != there:
            result[there, here] = block.T
    return result


def add_outer_products(total: Tensor, rows: Tensor) -> None:
    """Add R^T R to the upper triangle of ``total`` (d, d), in its dtype; below the diagonal it is not kept.

    :func:`mirrored` gives the whole sum in the end.
    """
    for here, there in _upper_blocks(rows.shape[1]):
        total[here, there] += rows[:, here].T @ rows[:, there]


def mirrored(matrix: Tensor) -> Tensor:
    """The symmetric matrix, to the bit, that has the upper triangle of ``matrix`` (d, d)."""
    return matrix.triu() + matrix.triu(1).T


def _upper_blocks(d: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the blocks on and above the diagonal."""
    side = d if d < BLOCK_FROM else -(-d // BLOCKS)
    blocks = [slice(first, min(first + side, d)) for first in range(0, d, side)]
    for i, here in enumerate(blocks):
        for there in blocks[i:]:
            yield here, there

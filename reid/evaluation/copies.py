"""Gallery rows that are the same: a matrix product may round them differently, and a tie must stay one."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOOKED_AT = 8  # columns that are compared first, of all rows
ODD = 0x5851F42D4C957F2D  # spreads the bits of what it multiplies; overflow drops the highest


class Copies:
    """Which rows of a gallery are the same as an earlier one, number by number.

    A product sums in an order that depends on where a row lies and on how many are multiplied together, so
    equal rows can get similarities that differ in the last bits, and would not tie.

    Args:
        gallery: (G, D) float32, from ``prepare_features``.
    """

    def __init__(self, gallery: Tensor) -> None:
        # Only rows that agree in a few columns are compared whole.
        values, counts = np.unique(mixed := _mix(gallery), return_counts=True)
        rows = np.flatnonzero(np.isin(mixed, values[counts > 1]))
        keys = _as_keys(gallery[torch.from_numpy(rows).to(gallery.device)])
        _, first, groups = np.unique(keys, return_index=True, return_inverse=True)
        originals = rows[first[groups.ravel()]]
        is_copy = originals != rows
        self.rows = torch.from_numpy(rows[is_copy]).to(gallery.device)
        self.originals = torch.from_numpy(originals[is_copy]).to(gallery.device)

    def tie(self, similarities: Tensor) -> Tensor:
        """Give each copy the similarity of its original, in place; return them.

        Args:
            similarities: (B, G).
        """
        if len(self.rows):
            similarities[:, self.rows] = similarities[:, self.originals]
        return similarities


def _mix(gallery: Tensor) -> NDArray[np.int64]:
    """(G,) a number of a few columns, the same where they are; a column at a time, to hold little."""
    mixed = np.zeros(len(gallery), np.int64)
    for column in torch.linspace(0, gallery.shape[1] - 1, LOOKED_AT).round().long().unique().tolist():
        mixed *= ODD
        mixed += (gallery[:, column].cpu() + 0.0).numpy().view(np.int32)
    return mixed


def _as_keys(rows: Tensor) -> NDArray[Any]:
    """Rows (N, D) as N values that are equal where all numbers are; + 0.0 makes -0.0 one with 0.0."""
    table = np.ascontiguousarray((rows.cpu() + 0.0).numpy())
    return table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1])))[:, 0]

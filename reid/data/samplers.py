"""Batches of P identities with K images each, and shuffled batches for training without labels."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from reid.utils import InputError


class PKSampler(Sampler[list[int]]):
    """Yields batches of P identities with K images each, TransReID's way.

    In an epoch every identity's images are shuffled and cut into groups of K; an identity of fewer than K
    images gives one group drawn with replacement, and the last n mod K images of the others are left out.
    A batch takes one group of each of P identities, drawn among those that still have groups; the epoch
    ends when fewer than P have. The batches are a pure function of (labels, seed, epoch).

    Args:
        labels: (N,) identity of each row.
        num_ids: P, identities in a batch.
        num_instances: K, images of an identity in a batch.
        seed: Non-negative.

    Raises:
        InputError: If P, K or the seed is out of range, or there are fewer than P identities.
    """

    def __init__(
        self, labels: Sequence[int] | NDArray[np.int64], num_ids: int, num_instances: int, seed: int
    ) -> None:
        if num_ids < 1 or num_instances < 1 or seed < 0:
            raise InputError(
                f"a batch needs at least 1 identity and 1 image of each, and a seed of 0 or more; "
                f"got {num_ids}, {num_instances} and seed {seed}"
            )
        self.num_ids = num_ids
        self.num_instances = num_instances
        self.seed = seed
        self._rows = _rows_by_identity(np.asarray(labels))
        if len(self._rows) < num_ids:
            raise InputError(
                f"a batch needs {num_ids} identities, the training images show {len(self._rows)}; "
                f"use smaller batches or more identities"
            )
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of ``epoch``; until the next call every iteration yields these."""
        self.epoch = epoch
        # The number of batches depends on the draw, so an exact length needs the draw first.
        self._batches = self._draw(np.random.default_rng([self.seed, epoch]))

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def _draw(self, rng: np.random.Generator) -> list[list[int]]:
        groups = [self._cut(rows, rng) for rows in self._rows]
        left = np.array([len(own) for own in groups])
        open_ids = np.arange(len(groups))
        batches = []
        while len(open_ids) >= self.num_ids:
            chosen = rng.choice(open_ids, self.num_ids, replace=False)
            left[chosen] -= 1
            batches.append(np.concatenate([groups[i][left[i]] for i in chosen]).tolist())
            open_ids = open_ids[left[open_ids] > 0]
        return batches

    def _cut(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """(groups, K) rows of one identity."""
        if len(rows) < self.num_instances:
            return rng.choice(rows, (1, self.num_instances))
        whole = len(rows) - len(rows) % self.num_instances
        return rng.permutation(rows)[:whole].reshape(-1, self.num_instances)


def _rows_by_identity(labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each identity, identities in sorted order."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(order, starts) if len(labels) else []


class ShuffledSampler(Sampler[list[int]]):
    """Yields every row once an epoch, in batches in random order; the last batch may be smaller.

    The order is a pure function of (num_rows, seed, epoch).

    Args:
        num_rows: Number of images.
        batch_size: Images a batch.
        seed: Non-negative.

    Raises:
        InputError: If the batch size or the seed is out of range, or there are no images.
    """

    def __init__(self, num_rows: int, batch_size: int, seed: int) -> None:
        if num_rows < 1 or batch_size < 1 or seed < 0:
            raise InputError(
                f"shuffled batches need at least 1 image, 1 image a batch and a seed of 0 or more; "
                f"got {num_rows}, {batch_size} and seed {seed}"
            )
        self.num_rows, self.batch_size, self.seed, self.epoch = num_rows, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_rows // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_rows).tolist()
        for start in range(0, self.num_rows, self.batch_size):
            yield order[start : start + self.batch_size]

"""What a data set is, once parsed: columns of paths, identities, cameras and views, and its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1  # the identity, camera or view of an image that carries none


@dataclass(frozen=True)
class Records:
    """Images as columns, so that millions of rows cost no Python object each.

    Args:
        root: The folder that ``paths`` are relative to.
        paths: (N,) relative paths, an array of strings.
        pids: (N,) int64 identities; -1 unknown.
        camids: (N,) int64 cameras; -1 unknown.
        viewids: (N,) int64 views, the side that an image shows; -1 unknown, as all are where it is left out.

    Raises:
        ValueError: If the columns differ in length.
    """

    root: Path
    paths: NDArray[np.str_]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    viewids: NDArray[np.int64] = None  # type: ignore[assignment]  # an array in every object

    def __post_init__(self) -> None:
        if self.viewids is None:
            object.__setattr__(self, "viewids", np.full(len(self.paths), UNKNOWN, np.int64))
        lengths = {len(self.paths), len(self.pids), len(self.camids), len(self.viewids)}
        if len(lengths) > 1:
            raise ValueError(f"columns must have one length, got {sorted(lengths)}")

    @classmethod
    def from_rows(
        cls, root: Path, rows: Sequence[tuple[str, int, int]] | Sequence[tuple[str, int, int, int]]
    ) -> Records:
        """Build the columns from (path, pid, camid) or (path, pid, camid, viewid) rows, all of one kind.

        Raises:
            ValueError: If rows of both kinds are mixed.
        """
        paths, *numbers = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(root, np.array(paths, str), *(np.array(column, np.int64) for column in numbers))

    @classmethod
    def empty(cls, root: Path) -> Records:
        """No images at all: the part of a data set that was not asked for."""
        return cls.from_rows(root, [])

    def __len__(self) -> int:
        return len(self.paths)

    def path(self, index: int) -> Path:
        """The full path of one image."""
        return self.root / str(self.paths[index])

    def select(self, indices: NDArray[np.int64] | NDArray[np.bool_]) -> Records:
        """The rows at ``indices`` (M,), in that order, or those where a mask (N,) is true."""
        return Records(
            self.root, self.paths[indices], self.pids[indices], self.camids[indices], self.viewids[indices]
        )

    def append(self, other: Records) -> Records:
        """These rows, then the rows of ``other``.

        Raises:
            ValueError: If the two do not lie under the same root.
        """
        if self.root != other.root:
            raise ValueError(f"records of one data set share a root, got {self.root} and {other.root}")
        return Records(
            self.root,
            np.concatenate([self.paths, other.paths]),
            np.concatenate([self.pids, other.pids]),
            np.concatenate([self.camids, other.camids]),
            np.concatenate([self.viewids, other.viewids]),
        )

    @property
    def num_pids(self) -> int:
        """How many identities are seen, unknown ones not counted."""
        return len(np.unique(self.pids[self.pids != UNKNOWN]))

    @property
    def num_camids(self) -> int:
        """How many cameras are seen, unknown ones not counted."""
        return len(np.unique(self.camids[self.camids != UNKNOWN]))

    @property
    def num_viewids(self) -> int:
        """How many views are seen, unknown ones not counted."""
        return len(np.unique(self.viewids[self.viewids != UNKNOWN]))


@dataclass(frozen=True)
class Trial:
    """One query side and one gallery side, as rows of the test records.

    Args:
        query: (Q,) row numbers.
        gallery: (G,) row numbers.
    """

    query: NDArray[np.int64]
    gallery: NDArray[np.int64]


@dataclass(frozen=True)
class ReIDDataset:
    """A parsed data set.

    Features of ``test`` are extracted once; every trial picks its rows, and the trials' metrics are averaged.

    Args:
        name: The registry's name, e.g. ``market1501``; of a list its whole path, which ``short_name`` cuts.
        title: What results call it, with its version: ``MSMT17 V1``.
        train_rule: What training uses, e.g. ``train+val`` or ``train``.
        train: Training images; identities as in the source, not yet relabelled.
        test: Images of the evaluation.
        trials: How query and gallery are drawn from ``test``; empty where there is no evaluation.
        first_camera: The number that camera 0 has where the images come from.
        identities: Where identities are texts, the text of each number, in sorted order; else empty.
    """

    name: str
    title: str
    train_rule: str
    train: Records
    test: Records
    trials: tuple[Trial, ...]
    first_camera: int = 1
    identities: tuple[str, ...] = ()

    def camera_number(self, camid: int) -> int:
        """What people call a camera, the number in the file names or the list; -1 unknown."""
        return UNKNOWN if camid == UNKNOWN else int(camid) + self.first_camera

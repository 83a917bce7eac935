"""Training images of several data sets as one, for training on all of them at once."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data.records import UNKNOWN, Records, ReIDDataset
from reid.utils import short_name


def merge_training(datasets: Sequence[ReIDDataset]) -> ReIDDataset:
    """The training images of all data sets, in turn; where only one has any, that set as it is.

    Identities, cameras and views are numbered by rank within their own set, then shifted behind those of the
    sets before it, so that none of two sets coincide; unknown ones (-1) stay unknown. Several sets give a
    result without test images: they are evaluated one by one.

    Args:
        datasets: At least one.
    """
    parts = [dataset for dataset in datasets if len(dataset.train)]
    if len(parts) < 2:
        return (parts or datasets)[0]
    root = Path(os.path.commonpath([part.train.root.absolute() for part in parts]))
    merged = Records(
        root,
        np.concatenate([_paths_from(root, part.train) for part in parts]),
        _number_apart([part.train.pids for part in parts]),
        _number_apart([part.train.camids for part in parts]),
        _number_apart([part.train.viewids for part in parts]),
    )
    name = "+".join(short_name(part.name) for part in parts)
    title = " and ".join(f"{part.title} {part.train_rule}" for part in parts)
    return ReIDDataset(name, title, "merged", merged, Records.empty(root), ())


def _paths_from(root: Path, records: Records) -> NDArray[np.str_]:
    """The paths relative to ``root``; absolute ones stay."""
    folder = os.path.relpath(records.root.absolute(), root)
    prefix = "" if folder == os.curdir else folder
    return np.array([os.path.join(prefix, path) for path in records.paths.tolist()], str)


def _number_apart(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(N,) the columns one after the other; each known number is its rank, behind all ranks before it."""
    numbered, first = [], 0
    for column in columns:
        known = np.unique(column[column != UNKNOWN])
        numbered.append(np.where(column == UNKNOWN, UNKNOWN, first + np.searchsorted(known, column)))
        first += len(known)
    return np.concatenate(numbered)

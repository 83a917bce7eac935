"""Images listed in a CSV file, so that a data set needs no parser of its own."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data.csv_table import Column, Table, read_table
from reid.data.folders import first_missing
from reid.data.matches import warn_of_queries_without_match
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.utils import InputError, unknown_choice

SPLITS = ("train", "query", "gallery")
TRAIN, QUERY, GALLERY = range(3)
INTEGER = re.compile(r"-?[0-9]{1,18}")


def load_csv(path: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Read a CSV of images: header ``path,pid,camid,split,viewid`` in any order; only ``path`` must be there.

    Paths are absolute or relative to the CSV's folder. A blank pid, camid or viewid is unknown (-1); pids
    that are not all whole numbers are replaced by their places in sorted order, over all splits. A blank or
    absent split is train. Other columns are ignored. There is one trial where both query and gallery have
    images, else none.

    Args:
        path: The CSV file, UTF-8.
        train: Whether the training images are wanted; if not, they need not exist.
        test: The same for query and gallery.

    Raises:
        InputError: If the file or an image in it is missing, the file lists nothing, a line is malformed, an
            image is listed twice, or an identity is both in train and in test.
    """
    table = read_table(path)
    splits, pids = _read_splits(table), _number_pids(table)
    camids, viewids = _read_numbers(table, "camid", table.camid), _read_numbers(table, "viewid", table.viewid)
    _check_disjoint(table, pids, splits)
    # Query before gallery, each in the order of the file.
    training, query, gallery = (
        np.flatnonzero((splits == split) & wanted)
        for split, wanted in ((TRAIN, train), (QUERY, test), (GALLERY, test))
    )
    testing = np.concatenate([query, gallery])
    _check_images(table, np.sort(np.concatenate([training, testing])))
    train_records, test_records = (
        Records(
            path.parent,
            np.array([table.paths[row] for row in rows], str),
            pids[rows],
            camids[rows],
            viewids[rows],
        )
        for rows in (training, testing)
    )
    trial = Trial(np.arange(len(query)), np.arange(len(query), len(testing)))
    warn_of_queries_without_match(str(path), test_records, trial)
    trials = (trial,) if len(query) and len(gallery) else ()
    return ReIDDataset(
        path.resolve().as_posix(),  # two lists of one file name are not one data set
        path.stem,
        "train",
        train_records,
        test_records,
        trials,
        first_camera=0,
        identities=_texts(table),
    )


def _read_splits(table: Table) -> NDArray[np.int64]:
    """(N,) places in ``SPLITS``."""
    for text in table.split.places:
        if text and text not in SPLITS:
            where = table.at(table.split.first_row(text))
            raise InputError(f"{where} has an {unknown_choice('split', text, SPLITS)}")
    return table.split.spread([SPLITS.index(text or "train") for text in table.split.places])


def _texts(table: Table) -> tuple[str, ...]:
    """The identities in sorted order where one is no whole number; else none."""
    texts = {text or str(UNKNOWN) for text in table.pid.places}
    if all(INTEGER.fullmatch(text) for text in texts):
        return ()
    return tuple(sorted(texts - {str(UNKNOWN)}))


def _number_pids(table: Table) -> NDArray[np.int64]:
    """(N,) identities: the whole numbers as they are, or places in sorted order."""
    texts = [text or str(UNKNOWN) for text in table.pid.places]
    if known := _texts(table):
        places = {text: place for place, text in enumerate(known)} | {str(UNKNOWN): UNKNOWN}
        return table.pid.spread([places[text] for text in texts])
    for text in table.pid.places:
        if text and int(text) < UNKNOWN:
            where = table.at(table.pid.first_row(text))
            raise InputError(f"{where} must have a pid of -1 (unknown) or more, got {text}")
    return table.pid.spread([int(text) for text in texts])


def _read_numbers(table: Table, name: str, column: Column) -> NDArray[np.int64]:
    """(N,) the cameras or views: whole numbers, blank ones unknown."""
    for text in column.places:
        if text and (not INTEGER.fullmatch(text) or int(text) < UNKNOWN):
            where = table.at(column.first_row(text))
            raise InputError(
                f"{where} must have a whole number of -1 (unknown) or more as {name}, got '{text}'"
            )
    return column.spread([int(text or UNKNOWN) for text in column.places])


def _check_disjoint(table: Table, pids: NDArray[np.int64], splits: NDArray[np.int64]) -> None:
    is_train = splits == TRAIN
    shared = np.setdiff1d(np.intersect1d(pids[is_train], pids[~is_train]), [UNKNOWN])
    if len(shared):
        first, other = (np.flatnonzero((pids == shared[0]) & side)[0] for side in (is_train, ~is_train))
        raise InputError(
            f"{table.at(other)} has identity '{table.pid.text(other)}' in {SPLITS[splits[other]]}, line "
            f"{table.line(first)} has it in train ({len(shared)} such in all); move all images of an "
            f"identity to one side, or give different people different pids"
        )


def _check_images(table: Table, wanted: NDArray[np.int64]) -> None:
    folder = table.source.parent
    missing = first_missing(folder, [table.paths[row] for row in wanted])
    if missing is not None:
        row = wanted[missing]
        raise InputError(
            f"{table.at(row)} names an image that does not exist: {folder / table.paths[row]}; "
            f"paths are relative to the folder of the CSV"
        )

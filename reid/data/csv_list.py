"""Images listed in a CSV file, so that a data set needs no parser of its own."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reid.data.folders import first_missing
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.utils import InputError, unknown_choice

SPLITS = ("train", "query", "gallery")
INTEGER = re.compile(r"-?[0-9]{1,18}")


class Row(NamedTuple):
    """One line of the file, as text; ``line`` is its number in the file."""

    line: int
    path: str
    pid: str
    camid: str
    split: str


def load_csv(path: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Read a CSV of images: header ``path,pid,camid,split`` in any order; only ``path`` must be there.

    Paths are relative to the CSV's folder. A blank pid or camid is unknown (-1); pids that are not all whole
    numbers are replaced by their places in sorted order, over all splits. A blank or absent split is train.
    Other columns are ignored. There is one trial where both query and gallery have images, else none.

    Args:
        path: The CSV file, UTF-8.
        train: Whether the training images are wanted; if not, they need not exist.
        test: The same for query and gallery.

    Raises:
        InputError: If the file or an image in it is missing, the file lists nothing, or a line is malformed.
    """
    rows = _read_rows(path)
    splits = np.array([SPLITS.index(row.split) for row in rows])
    records = Records(
        path.parent,
        np.array([row.path for row in rows], str),
        _number_pids(path, rows),
        np.array([_number_camera(path, row) for row in rows], np.int64),
    )
    wanted = np.where(splits == 0, train, test)
    _check_images(path, rows, np.flatnonzero(wanted))
    # Query before gallery, each in the order of the file.
    testing = (
        np.argsort(splits, kind="stable")[np.count_nonzero(splits == 0) :] if test else np.array([], int)
    )
    return ReIDDataset(
        name=path.name,
        title=path.stem,
        train_rule="train",
        train=records.select((splits == 0) & train),
        test=records.select(testing),
        trials=_trial(splits[testing]),
    )


def _trial(splits: NDArray[np.int64]) -> tuple[Trial, ...]:
    query, gallery = (np.flatnonzero(splits == SPLITS.index(side)) for side in ("query", "gallery"))
    return (Trial(query, gallery),) if len(query) and len(gallery) else ()


def _read_rows(path: Path) -> list[Row]:
    if not path.is_file():
        raise InputError(f"the CSV list of images must be a file, {path} is not one")
    try:
        # utf-8-sig: spreadsheets put a mark before the header.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_parse_rows(path, file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} must be a CSV file in UTF-8: {error}") from error
    if not rows:
        raise InputError(f"{path} must list at least one image below its header, it lists none")
    return rows


def _parse_rows(path: Path, lines: Iterator[str]) -> Iterator[Row]:
    reader = csv.reader(lines, skipinitialspace=True)
    header = [column.strip() for column in next(reader, [])]
    if "path" not in header:
        raise InputError(
            f"{path} must begin with a header that names the column 'path' (and may name pid, camid, split), "
            f"got '{','.join(header)}'"
        )
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise InputError(f"{path}:{reader.line_num} must have {len(header)} cells, got {len(cells)}")
        cell = dict(zip(header, (text.strip() for text in cells), strict=True))
        split = cell.get("split") or "train"
        if split not in SPLITS:
            raise InputError(f"{path}:{reader.line_num} has an {unknown_choice('split', split, SPLITS)}")
        if not cell["path"]:
            raise InputError(f"{path}:{reader.line_num} must name an image in the column 'path', it is blank")
        yield Row(reader.line_num, cell["path"], cell.get("pid", ""), cell.get("camid", ""), split)


def _number_pids(path: Path, rows: Sequence[Row]) -> NDArray[np.int64]:
    """(N,) identities: the whole numbers as they are, or places in sorted order."""
    texts = [row.pid or str(UNKNOWN) for row in rows]
    if not all(INTEGER.fullmatch(text) for text in texts):
        known = sorted(set(texts) - {str(UNKNOWN)})
        places = {text: place for place, text in enumerate(known)} | {str(UNKNOWN): UNKNOWN}
        return np.array([places[text] for text in texts], np.int64)
    pids = np.array([int(text) for text in texts], np.int64)
    negative = np.flatnonzero(pids < UNKNOWN)
    if len(negative):
        row = rows[negative[0]]
        raise InputError(f"{path}:{row.line} must have a pid of -1 (unknown) or more, got {row.pid}")
    return pids


def _number_camera(path: Path, row: Row) -> int:
    text = row.camid or str(UNKNOWN)
    if not INTEGER.fullmatch(text) or int(text) < UNKNOWN:
        raise InputError(
            f"{path}:{row.line} must have a whole number of -1 (unknown) or more as camid, got '{row.camid}'"
        )
    return int(text)


def _check_images(path: Path, rows: Sequence[Row], wanted: NDArray[np.int64]) -> None:
    missing = first_missing(path.parent, [rows[index].path for index in wanted])
    if missing is not None:
        row = rows[wanted[missing]]
        raise InputError(
            f"{path}:{row.line} names an image that does not exist: {path.parent / row.path}; "
            f"paths are relative to the folder of the CSV"
        )

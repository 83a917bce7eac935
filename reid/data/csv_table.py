"""The text of a CSV list of images, in columns."""

import csv
import os
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

CHUNK = 500  # rows handled by one call of the built-ins; more leave the processor's cache
MOST_BYTES = 1 << 31  # of what is no list, one line may fill the memory


class Column:
    """Texts of which few differ: a row holds the place of its text among the different ones."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.rows = array("q")

    def extend(self, texts: Iterable[str]) -> None:
        """Add the texts of the next rows."""
        places = self.places
        self.rows.extend([places.setdefault(text, len(places)) for text in texts])

    def spread(self, values: Sequence[int]) -> NDArray[np.int64]:
        """(N,) for each row the value of its text; ``values`` holds one for each of ``places``."""
        return np.array(values, np.int64)[np.array(self.rows)]

    def first_row(self, text: str) -> int:
        """The first row that holds ``text``."""
        return self.rows.index(self.places[text])

    def text(self, row: int) -> str:
        """The text of one row."""
        return list(self.places)[self.rows[row]]


@dataclass(frozen=True)
class Table:
    """The rows of a list, blank lines not counted.

    Args:
        source: The file.
        paths: (N,) as written.
        pid: As written; blank where the column is absent.
        camid: Likewise.
        split: Likewise.
        viewid: Likewise.
    """

    source: Path
    paths: list[str] = field(default_factory=list)
    pid: Column = field(default_factory=Column)
    camid: Column = field(default_factory=Column)
    split: Column = field(default_factory=Column)
    viewid: Column = field(default_factory=Column)

    def line(self, row: int) -> int:
        """The number in the file of a row; counted when a message needs it, a million are not kept."""
        with _open(self.source) as file:
            reader = csv.reader(file, skipinitialspace=True)
            for _ in islice(filter(None, reader), row + 2):  # the header is one
                pass
            return reader.line_num

    def at(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"{self.source}:{self.line(row)}"


def read_table(path: Path) -> Table:
    """Read a CSV file in UTF-8; blank lines are skipped and blanks around a cell are dropped.

    Raises:
        InputError: If it is no such file or has more than 2 GiB, has no column ``path`` or a column twice,
            lists nothing, has a row of another width or without an image, or lists an image twice.
    """
    if not path.is_file():
        raise InputError(f"the CSV list of images must be a file, {path} is not one")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise InputError(f"the CSV list of images must have 2 GiB at most, {path} has {size} bytes; split it")
    table = Table(path)
    try:
        with _open(path) as file:
            _fill(table, file)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} must be a CSV file in UTF-8: {error.reason} in line {_undecodable_line(path)}; "
            f"save it as UTF-8"
        ) from error
    if not table.paths:
        raise InputError(f"{path} must list at least one image below its header, it lists none")
    return table


def _open(path: Path) -> TextIO:
    # utf-8-sig: spreadsheets put a mark before the header.
    return path.open(encoding="utf-8-sig", newline="")


def _fill(table: Table, text: Iterable[str]) -> None:
    reader = csv.reader(text, skipinitialspace=True, strict=True)
    try:
        header = next(reader, [])
        places = _find_columns(table.source, header)
        known = KnownImages(table)
        rows = filter(None, reader)
        columns = {"pid": table.pid, "camid": table.camid, "split": table.split, "viewid": table.viewid}
        while chunk := list(islice(rows, CHUNK)):
            _check_widths(table, len(header), chunk)
            cells = list(zip(*chunk, strict=True))
            for name, column in columns.items():
                column.extend(map(str.strip, cells[places[name]]) if name in places else [""] * len(chunk))
            table.paths.extend(map(str.strip, cells[places["path"]]))
            known.add_last(len(chunk))
    except csv.Error as error:
        raise InputError(
            f"{table.source} must be a CSV file in UTF-8: {error} (line {reader.line_num})"
        ) from error


def _check_widths(table: Table, width: int, chunk: list[list[str]]) -> None:
    """Refuse the first of the next rows that has not one cell a column."""
    widths = list(map(len, chunk))
    if widths.count(width) != len(chunk):
        offset = next(offset for offset, found in enumerate(widths) if found != width)
        raise InputError(
            f"{table.at(len(table.paths) + offset)} must have {width} cells, got {widths[offset]}"
        )


class KnownImages:
    """Tells an image that is listed twice, also where it is spelled in two ways.

    Args:
        table: To which rows are added.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.folder = os.path.abspath(table.source.parent) + os.sep
        self.known: set[str] = set()

    def add_last(self, count: int) -> None:
        """Check the images of the last ``count`` rows and remember them.

        Raises:
            InputError: If a path is no name of a file, or was there before.
        """
        paths, before = self.table.paths[-count:], len(self.known)
        first = len(self.table.paths) - count
        if "" in paths or "\0" in "".join(paths):
            row = next(offset for offset, path in enumerate(paths, first) if not path or "\0" in path)
            fault = "holds a NUL" if self.table.paths[row] else "is blank"
            raise InputError(f"{self.table.at(row)} must name an image in the column 'path', it {fault}")
        self.known.update(self._plain(paths))
        if len(self.known) != before + count:
            raise InputError(self._repetition())

    def _plain(self, paths: list[str]) -> list[str]:
        """One spelling for each file: relative where it lies below the list."""
        plain = [os.path.normpath(path) for path in paths]
        if plain == paths and not any(path.startswith(("..", os.sep)) for path in paths):
            return paths  # the same objects: no second copies are kept
        return [os.path.normpath(os.path.join(self.folder, path)).removeprefix(self.folder) for path in paths]

    def _repetition(self) -> str:
        table = self.table
        rows: dict[str, int] = {}
        for row, path in enumerate(self._plain(table.paths)):
            first = rows.setdefault(path, row)
            if first != row:
                break
        sides = [table.split.text(place) or "train" for place in (first, row)]
        return (
            f"{table.at(row)} lists the image of line {table.line(first)} again: {table.paths[row]} "
            f"({sides[0]} and {sides[1]}); list every image once"
        )


def _find_columns(source: Path, header: Sequence[str]) -> dict[str, int]:
    """The places of the columns by name, in lower case."""
    names = [name.strip().lower() for name in header]
    if "path" not in names:
        raise InputError(
            f"{source} must begin with a header that names the column 'path' (and may name pid, camid, "
            f"split, viewid), got '{','.join(header)}'"
        )
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(
                f"{source} must name each column once in its header, '{name}' is there "
                f"{names.count(name)} times; rename or remove one"
            )
    return {name: place for place, name in enumerate(names)}


def _undecodable_line(path: Path) -> int:
    """The number of the first line that is no UTF-8; no character of UTF-8 holds a line feed."""
    number = 1
    with path.open("rb") as file:
        for line in file:
            try:
                line.decode()
            except UnicodeDecodeError:
                break
            number += 1
    return number

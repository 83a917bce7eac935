"""Text lists of images, one ``<image> <identity>`` a line, as MSMT17 and VehicleID come with."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid.data.folders import first_missing, not_found
from reid.data.records import Records
from reid.utils import InputError

PID = re.compile(r"[0-9]{1,18}")


class ListedImage(NamedTuple):
    """One line of a list; ``number`` is its place in the file, from 1."""

    number: int
    image: str
    pid: int


def read_list(path: Path, title: str, example: str) -> list[ListedImage]:
    """Read a list, in its order; blank lines are left out, and any line ends are understood.

    Lists that went through Windows name folders with backslashes; they come back as slashes.

    Args:
        path: The text file.
        title: The data set's name, for the refusal.
        example: A line that fits, for the refusal.

    Raises:
        InputError: If the file is missing or empty, or a line has another form.
    """
    if not path.is_file():
        raise InputError(not_found(title, path))
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [_parse(path, number, line, example) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise InputError(f"{path} must list images, it is empty; unpack the original archive again")
    return rows


def check_listed(path: Path, lines: Sequence[ListedImage], records: Records) -> None:
    """Refuse a list that names an image that is not there, or an image twice.

    Args:
        path: The list, for the refusal.
        lines: Its lines.
        records: The same images, in the same order.

    Raises:
        InputError: If one is missing or listed twice.
    """
    _, first, counts = np.unique(records.paths, return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = first[counts > 1].min()
        raise InputError(
            f"{path}:{lines[twice].number} names an image that the list names again: {records.paths[twice]}; "
            f"unpack the original archive again"
        )
    missing = first_missing(records.root, records.paths)
    if missing is not None:
        raise InputError(
            f"{path}:{lines[missing].number} names an image that does not exist: {records.path(missing)}; "
            f"unpack the original archive again"
        )


def _parse(path: Path, number: int, line: str, example: str) -> ListedImage:
    words = line.rsplit(maxsplit=1)
    if len(words) != 2 or not PID.fullmatch(words[1]):
        raise InputError(f"{path}:{number} must read like '{example}', got '{line.strip()}'")
    return ListedImage(number, words[0].strip().replace("\\", "/"), int(words[1]))

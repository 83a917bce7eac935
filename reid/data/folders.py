"""Folders of images: finding a data set's tree, listing it, checking that listed images exist.

What a file name means is the parsers' business.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
SEE = "see datasets/README.md for the expected folders"


STAMP = "synthetic.json"  # what reid.data.synthetic leaves in a tree that it drew


def title_of(tree: Path, title: str) -> str:
    """What results call a tree: figures on drawn people must never be read as figures on real ones."""
    return f"drawn people in {title}'s layout" if (tree / STAMP).is_file() else title


def check_root(root: Path) -> None:
    """Refuse a data root that is not a folder.

    Raises:
        InputError: If it is none.
    """
    if not root.is_dir():
        raise InputError(f"the data root must be a folder, {root} is not one; {SEE}")


def find_tree(root: Path, title: str, spellings: Sequence[str], marks: Sequence[str]) -> Path:
    """The first ``root/spelling`` that holds any of ``marks``.

    Args:
        root: The data root, or the tree itself where ``spellings`` holds a dot.
        title: The data set's name, for the refusal.
        spellings: Relative folders, the most specific first.
        marks: Names of which a tree holds at least one.

    Raises:
        InputError: If the root is no folder or none of its folders qualifies.
    """
    check_root(root)
    for spelling in spellings:
        if any((root / spelling / mark).exists() for mark in marks):
            return root / spelling
    raise InputError(not_found(title, root / spellings[0] / marks[0]))


def not_found(title: str, path: Path) -> str:
    """Word the refusal of a data set of which ``path`` is missing."""
    return f"{title} not found: {path} does not exist; {SEE}"


def image_names(folder: Path, title: str) -> list[str]:
    """The sorted names of the images directly in ``folder``; other files and hidden ones are left out.

    Raises:
        InputError: If the folder does not exist.
    """
    if not folder.is_dir():
        raise InputError(not_found(title, folder))
    names = (entry.name for entry in os.scandir(folder))
    return sorted(name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != ".")


def first_missing(root: Path, paths: NDArray[np.str_] | Sequence[str]) -> int | None:
    """The position of the first of ``paths`` (relative to ``root``) that names no file; None where all exist.

    Each folder is listed once instead of asking for every file: a list of 126,441 images in 4,101 folders
    takes about a second, and far less than as many requests on a network disk.
    """
    split = [os.path.split(str(path)) for path in paths]
    known = _listings(root, {folder for folder, _ in split})
    for position, (folder, name) in enumerate(split):
        # The second look serves file systems that ignore case.
        if name not in known[folder] and not (root / folder / name).is_file():
            return position
    return None


def _listings(root: Path, folders: Iterable[str]) -> dict[str, frozenset[str]]:
    return {
        folder: frozenset(os.listdir(root / folder)) if (root / folder).is_dir() else frozenset()
        for folder in folders
    }

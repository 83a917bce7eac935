"""Folders of images: finding a data set's tree, listing it, checking that listed images exist.

What a file name means is the parsers' business.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # of the data sets
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".bmp", ".webp", ".tif", ".tiff")  # of folders of one's own
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
    """The first ``root/spelling`` that holds any of ``marks``; where others do too, the choice is logged.

    Args:
        root: The data root, or the tree itself where ``spellings`` holds a dot.
        title: The data set's name, for the refusal.
        spellings: Relative folders, the most specific first.
        marks: Names of which a tree holds at least one.

    Raises:
        InputError: If the root is no folder or none of its folders qualifies.
    """
    trees = find_trees(root, spellings, marks)
    if not trees:
        raise InputError(not_found(title, root / spellings[0] / marks[0]))
    warn_of_choice(title, [str(tree) for tree in trees])
    return trees[0]


def find_trees(root: Path, spellings: Sequence[str], marks: Sequence[str]) -> list[Path]:
    """Every ``root/spelling`` that holds any of ``marks``, each place on disk once.

    Raises:
        InputError: If the root is no folder.
    """
    check_root(root)
    trees: list[Path] = []
    for folder in (root / spelling for spelling in spellings):
        # Two spellings name one folder through a link, or where case is ignored.
        if any((folder / mark).exists() for mark in marks) and not any(map(folder.samefile, trees)):
            trees.append(folder)
    return trees


def warn_of_choice(title: str, found: Sequence[str]) -> None:
    """Log which of several copies or versions of a set is used: the first."""
    if len(found) > 1:
        logger.warning(
            "%s is there more than once: using %s, not %s; name the one that is meant, or remove the others",
            title,
            found[0],
            ", ".join(found[1:]),
        )


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


def images_below(folder: Path) -> list[str]:
    """The sorted paths, relative to ``folder``, of the images in it and in all folders below.

    Images end in one of ``PICTURE_SUFFIXES``, in either case. Other files, and hidden files and folders, are
    left out; the log says how many others there are. Folders behind symbolic links are not entered: links
    could go in a circle.

    Raises:
        InputError: If there is no image.
        OSError: If a folder cannot be listed.
    """
    found, num_others = [], 0
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if name[0] != "."]
        shown = [name for name in names if name[0] != "."]
        images = [name for name in shown if name.lower().endswith(PICTURE_SUFFIXES)]
        num_others += len(shown) - len(images)
        found += [Path(place, name).relative_to(folder).as_posix() for name in images]
    if not found:
        raise InputError(
            f"a folder of images must hold {', '.join(PICTURE_SUFFIXES)} files, {folder} has none"
        )
    if num_others:
        logger.info(
            "%d files in %s are no %s and are left out", num_others, folder, ", ".join(PICTURE_SUFFIXES)
        )
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def first_missing(root: Path, paths: NDArray[np.str_] | Sequence[str]) -> int | None:
    """The position of the first of ``paths`` (relative to ``root``) that names no file; None where all exist.

    Each folder is listed once instead of asking for every file: a million files take seconds, and far less
    than as many requests on a network disk.
    """
    known: dict[str, frozenset[str]] = {}
    for position, path in enumerate(paths):
        folder, _, name = str(path).rpartition("/")
        if folder not in known:
            known[folder] = _listing(root / folder)
        # The second look serves file systems that ignore case, or write folders in another way.
        if name not in known[folder] and not (root / path).is_file():
            return position
    return None


def _listing(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()

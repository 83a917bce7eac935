"""Market-1501: file names to records. Counts and images are checked elsewhere."""

import re
from pathlib import Path

import numpy as np

from reid.data.folders import find_tree, image_names, title_of
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.utils import InputError

TITLE = "Market-1501"
SPELLINGS = (
    "market1501/Market-1501-v15.09.15",
    "market1501",
    "Market-1501-v15.09.15",
    "Market-1501",
    ".",
)
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
# Matched against the base name only: a folder called exp_01_c3 must not pass for identity 1, camera 3.
NAME = re.compile(r"(-1|\d+)_c([1-9]\d*)(?:s\d+)?_[^/]+")
DISTRACTOR = 0


def load_market1501(root: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Parse Market-1501 from its file names, ``0002_c1s1_000451_03.jpg``: identity 2, camera 1 (stored as 0).

    Identity -1 is junk and dropped everywhere; identity 0 is kept: in the gallery it is a distractor.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their folder need not exist.
        test: The same for query and gallery.

    Raises:
        InputError: If a folder is missing or holds no identity, an image's name has another form, or an
            identity is both in train and in test.
    """
    tree = find_tree(root, TITLE, SPELLINGS, (TRAIN, GALLERY, QUERY))
    training = _read_split(tree, TRAIN) if train else Records.empty(tree)
    testing, trials = _read_test(tree) if test else (Records.empty(tree), ())
    _check_disjoint(training, testing)
    title = title_of(tree, TITLE)
    return ReIDDataset("market1501", title, "train", training, testing, trials)


def _read_test(tree: Path) -> tuple[Records, tuple[Trial, ...]]:
    query, gallery = _read_split(tree, QUERY), _read_split(tree, GALLERY)
    both = query.append(gallery)
    rows = np.arange(len(both))
    return both, (Trial(rows[: len(query)], rows[len(query) :]),)


def _read_split(tree: Path, folder: str) -> Records:
    rows = [_parse(tree / folder, name) for name in image_names(tree / folder, TITLE)]
    kept = [row for row in rows if row[1] != UNKNOWN]
    if not kept:
        raise InputError(f"{TITLE} needs images with an identity in {tree / folder}, found none")
    return Records.from_rows(tree, kept)


def _parse(folder: Path, name: str) -> tuple[str, int, int]:
    match = NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"a {TITLE} image is named like 0002_c1s1_000451_03.jpg, got {folder / name}; rename or remove it"
        )
    return f"{folder.name}/{name}", int(match[1]), int(match[2]) - 1


def _check_disjoint(training: Records, testing: Records) -> None:
    shared = np.setdiff1d(np.intersect1d(training.pids, testing.pids), [DISTRACTOR])
    if len(shared):
        raise InputError(
            f"{TITLE} must not train on identities it tests on, identity {shared[0]} is in both "
            f"({len(shared)} in all) under {training.root}; unpack the original archive again"
        )

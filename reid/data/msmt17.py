"""MSMT17, both versions: its list files to records. Counts and pixels are checked elsewhere."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reid.data.folders import check_root, first_missing, not_found, title_of
from reid.data.records import Records, ReIDDataset, Trial
from reid.utils import InputError, unknown_choice

logger = logging.getLogger(__name__)

FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
SPELLINGS = ("MSMT17_V1", "MSMT17", "msmt17", "MSMT17_V2", ".")
# A root may well hold a folder called train: a tree has one of the lists, too.
LISTS = ("list_train.txt", "list_query.txt")
NUM_CAMERAS = 15


class Tree(NamedTuple):
    """One version of MSMT17 on disk."""

    folder: Path
    version: str


def load_msmt17(
    root: Path, *, train: bool = True, test: bool = True, use_val: bool = True, version: str = ""
) -> ReIDDataset:
    """Parse MSMT17 from its list files; a camera is the third field of an image's base name, minus one.

    The source numbers train and test identities independently, and the numbers are kept: identity 5 of
    train and identity 5 of test are different people.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their lists need not exist.
        test: The same for query and gallery.
        use_val: Train on ``list_val.txt`` as well (32,621 instead of 30,248 images); the two habits'
            results are not comparable.
        version: ``V1`` or ``V2``; empty takes the one that is there, V1 with a warning where both are.

    Raises:
        InputError: If the folder, a list or an image is missing, a line is malformed, a list is empty, or
            the version is unknown.
    """
    tree = _choose_tree(root, version)
    train_folder, test_folder = FOLDERS[tree.version]
    training = testing = Records.empty(tree.folder)
    trials: tuple[Trial, ...] = ()
    if train:
        training = _read_list(tree, "list_train.txt", train_folder)
        if use_val:
            training = training.append(_read_list(tree, "list_val.txt", train_folder))
    if test:
        query = _read_list(tree, "list_query.txt", test_folder)
        testing = query.append(_read_list(tree, "list_gallery.txt", test_folder))
        rows = np.arange(len(testing))
        trials = (Trial(rows[: len(query)], rows[len(query) :]),)
    rule = "train+val" if use_val else "train"
    return ReIDDataset(
        "msmt17", title_of(tree.folder, f"MSMT17 {tree.version}"), rule, training, testing, trials
    )


def _choose_tree(root: Path, version: str) -> Tree:
    if version and version not in FOLDERS:
        raise InputError(unknown_choice("MSMT17 version", version, FOLDERS))
    check_root(root)
    trees = _find_trees(root)
    wanted = [tree for tree in trees if tree.version == version or not version]
    if not wanted:
        folder = FOLDERS[version or "V1"][0]
        spelling = "MSMT17_V2" if version == "V2" else "MSMT17_V1"
        raise InputError(not_found(f"MSMT17 {version}".strip(), root / spelling / folder))
    chosen = wanted[0]
    others = [tree for tree in wanted if tree.version != chosen.version]
    if others:
        logger.warning(
            "both versions of MSMT17 are there: using %s in %s, not %s in %s; name the version to choose",
            chosen.version,
            chosen.folder,
            others[0].version,
            others[0].folder,
        )
    return chosen


def _find_trees(root: Path) -> list[Tree]:
    """Every version in every spelling of the folder, V1 first."""
    return [
        Tree(root / spelling, version)
        for version, folders in FOLDERS.items()
        for spelling in SPELLINGS
        if any((root / spelling / folder).is_dir() for folder in folders)
        and any((root / spelling / name).is_file() for name in LISTS)
    ]


def _read_list(tree: Tree, name: str, folder: str) -> Records:
    path = tree.folder / name
    if not path.is_file():
        raise InputError(not_found(f"MSMT17 {tree.version}", path))
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise InputError(f"{path} must list images, it is empty; unpack the original archive again")
    rows = [_parse(path, number, line, folder) for number, line in numbered]
    records = Records.from_rows(tree.folder, rows)
    missing = first_missing(tree.folder, records.paths)
    if missing is not None:
        raise InputError(
            f"{path}:{numbered[missing][0]} names an image that does not exist: {records.path(missing)}; "
            f"unpack the original archive again"
        )
    return records


def _parse(path: Path, number: int, line: str, folder: str) -> tuple[str, int, int]:
    image, _, pid = line.strip().rpartition(" ")
    fields = image.rpartition("/")[2].split("_")
    camera = int(fields[2]) if len(fields) > 3 and fields[2].isdecimal() else 0
    if not pid.isdecimal() or not 1 <= camera <= NUM_CAMERAS:
        raise InputError(
            f"{path}:{number} must read like '0000/0000_000_01_0303morning_0015_0.jpg 0' with a camera "
            f"from 01 to {NUM_CAMERAS}, got '{line.strip()}'"
        )
    return f"{folder}/{image}", int(pid), camera - 1

"""MSMT17, both versions: its list files to records. Counts and pixels are checked elsewhere."""

from pathlib import Path
from typing import NamedTuple

from reid.data.folders import find_trees, not_found, title_of, warn_of_choice
from reid.data.list_files import ListedImage, check_listed, read_list
from reid.data.records import Records, ReIDDataset, Trial
from reid.data.splits import query_and_gallery
from reid.utils import InputError, unknown_choice

FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
SPELLINGS = ("MSMT17_V1", "MSMT17", "msmt17", "MSMT17_V2", ".")
# A root may well hold a folder called train: a tree has one of the lists, too.
LISTS = ("list_train.txt", "list_query.txt")
NUM_CAMERAS = 15
EXAMPLE = "0000/0000_000_01_0303morning_0015_0.jpg 0"


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
        training = _read_split(tree, "list_train.txt", train_folder)
        if use_val:
            training = training.append(_read_split(tree, "list_val.txt", train_folder))
    if test:
        testing, trials = query_and_gallery(
            _read_split(tree, "list_query.txt", test_folder),
            _read_split(tree, "list_gallery.txt", test_folder),
        )
    rule = "train+val" if use_val else "train"
    return ReIDDataset(
        "msmt17", title_of(tree.folder, f"MSMT17 {tree.version}"), rule, training, testing, trials
    )


def _choose_tree(root: Path, version: str) -> Tree:
    if version and version not in FOLDERS:
        raise InputError(unknown_choice("MSMT17 version", version, FOLDERS))
    wanted = [tree for tree in _find_trees(root) if tree.version == version or not version]
    if not wanted:
        folder = FOLDERS[version or "V1"][0]
        spelling = "MSMT17_V2" if version == "V2" else "MSMT17_V1"
        raise InputError(not_found(f"MSMT17 {version}".strip(), root / spelling / folder))
    warn_of_choice("MSMT17", [f"{tree.version} in {tree.folder}" for tree in wanted])
    return wanted[0]


def _find_trees(root: Path) -> list[Tree]:
    """Every version in every spelling of the folder, V1 first."""
    return [
        Tree(folder, version)
        for version, folders in FOLDERS.items()
        for folder in find_trees(root, SPELLINGS, folders)
        if any((folder / name).is_file() for name in LISTS)
    ]


def _read_split(tree: Tree, name: str, folder: str) -> Records:
    path = tree.folder / name
    lines = read_list(path, f"MSMT17 {tree.version}", EXAMPLE)
    records = Records.from_rows(tree.folder, [_parse(path, line, folder) for line in lines])
    check_listed(path, lines, records)
    return records


def _parse(path: Path, line: ListedImage, folder: str) -> tuple[str, int, int]:
    fields = line.image.rpartition("/")[2].split("_")
    camera = int(fields[2]) if len(fields) > 3 and fields[2].isdecimal() else 0
    if not 1 <= camera <= NUM_CAMERAS:
        raise InputError(
            f"{path}:{line.number} must read like '{EXAMPLE}' with a camera from 01 to {NUM_CAMERAS}, "
            f"got '{line.image} {line.pid}'"
        )
    return f"{folder}/{line.image}", line.pid, camera - 1

"""VehicleID: its list files to records, and ten drawn galleries."""

import os
from pathlib import Path

import numpy as np

from reid.data.folders import IMAGE_SUFFIXES, find_tree, not_found, title_of
from reid.data.list_files import check_listed, read_list
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.data.splits import check_disjoint, draw_one_each
from reid.utils import InputError

TITLE = "VehicleID"
SPELLINGS = ("VehicleID_V1.0", "vehicleid", "VehicleID", ".")
LISTS, IMAGES = "train_test_split", "image"
TEST_SIZES = (800, 1600, 2400)
SEEDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)  # one trial each, the same in every run


def load_vehicleid(root: Path, *, train: bool = True, test: bool = True, test_size: int = 800) -> ReIDDataset:
    """Parse VehicleID from its list files, ``<image> <identity>`` a line.

    In each of ten trials one image of every test identity, drawn at random, is the gallery, and all its other
    images are queries. Cameras are unknown, so a query's every other image is a true match.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their list need not exist.
        test: The same for the test images.
        test_size: Which test list: 800, 1600 or 2400 identities.

    Raises:
        InputError: If a list or an image is missing, a line is malformed, the size is another, or an
            identity is both in train and in test.
    """
    if test_size not in TEST_SIZES:
        sizes = ", ".join(map(str, TEST_SIZES))
        raise InputError(f"the test size of {TITLE} must be one of {sizes}, got {test_size}")
    tree = find_tree(root, TITLE, SPELLINGS, (LISTS, IMAGES))
    images = _images_by_stem(tree) if train or test else {}
    training = testing = Records.empty(tree)
    trials: tuple[Trial, ...] = ()
    if train:
        training = _read_split(tree, "train_list.txt", images)
    if test:
        testing = _read_split(tree, f"test_list_{test_size}.txt", images)
        # In the order of the names, so that the trials do not depend on that of the list.
        testing = testing.select(np.argsort(testing.paths, kind="stable"))
        trials = tuple(_draw_trial(testing, seed) for seed in SEEDS)
    check_disjoint(TITLE, training, testing)
    rule = f"test list {test_size}, mean of {len(SEEDS)} random galleries"
    return ReIDDataset("vehicleid", f"{title_of(tree, TITLE)} ({rule})", "train", training, testing, trials)


def _draw_trial(testing: Records, seed: int) -> Trial:
    rows = np.arange(len(testing))
    gallery = draw_one_each(testing.pids, rows, seed)
    return Trial(np.setdiff1d(rows, gallery), gallery)


def _images_by_stem(tree: Path) -> dict[str, str]:
    """Names of the images by their stems: lists are about with and without the suffix, and in either case."""
    if not (tree / IMAGES).is_dir():
        raise InputError(not_found(TITLE, tree / IMAGES))
    names = (os.path.splitext(name) for name in os.listdir(tree / IMAGES))
    return {stem: stem + suffix for stem, suffix in names if suffix.lower() in IMAGE_SUFFIXES}


def _read_split(tree: Path, name: str, images: dict[str, str]) -> Records:
    path = tree / LISTS / name
    lines = read_list(path, TITLE, "0000001 0")
    rows = []
    for line in lines:
        listed = os.path.basename(line.image)
        known = images.get(os.path.splitext(listed)[0], listed)
        rows.append((f"{IMAGES}/{known}", line.pid, UNKNOWN))
    records = Records.from_rows(tree, rows)
    check_listed(path, lines, records)
    return records

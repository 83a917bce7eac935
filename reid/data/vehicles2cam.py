"""The two-camera vehicle set: file names to records, each camera in turn as the query side."""

import re
from pathlib import Path

import numpy as np

from reid.data.folders import find_tree, image_names
from reid.data.records import Records, ReIDDataset, Trial
from reid.utils import InputError

TITLE = "vehicles2cam"
SPELLINGS = ("vehicles2cam", ".")
TRAIN, TEST = "images/train", "images/test"
CLASSES = ("bus", "car", "motorcycle", "truck")
NAME = re.compile(rf"({'|'.join(CLASSES)})_(\d{{1,5}})_cam([12])\.\w+")
# Numbers restart in each class and in each split, so both are coded into the identity.
CLASS_STEP, TEST_OFFSET = 100_000, 1_000_000


def load_vehicles2cam(root: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Parse the set from its file names, ``car_0006_cam1.jpg``; the identity is (split, class, number).

    An identity is stored as 100,000 times the class's place in the alphabet plus the number, plus a million
    in test, so no identity is in both splits. Two trials: camera 1 queries camera 2, and the reverse.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their folder need not exist.
        test: The same for the test images.

    Raises:
        InputError: If a folder is missing or empty, an image's name has another form, or the test images
            are all of one camera.
    """
    tree = find_tree(root, TITLE, SPELLINGS, (TRAIN, TEST))
    training = _read_split(tree, TRAIN, 0) if train else Records.empty(tree)
    testing = _read_split(tree, TEST, TEST_OFFSET) if test else Records.empty(tree)
    trials = _cross_camera_trials(testing) if test else ()
    return ReIDDataset("vehicles2cam", TITLE, "train", training, testing, trials)


def _cross_camera_trials(testing: Records) -> tuple[Trial, ...]:
    first, second = (np.flatnonzero(testing.camids == camera) for camera in (0, 1))
    if not len(first) or not len(second):
        raise InputError(f"{TITLE} needs test images of both cameras, {testing.root / TEST} holds only one")
    return Trial(first, second), Trial(second, first)


def _read_split(tree: Path, folder: str, offset: int) -> Records:
    names = image_names(tree / folder, TITLE)
    if not names:
        raise InputError(f"{TITLE} needs images in {tree / folder}, found none")
    return Records.from_rows(tree, [_parse(tree, folder, name, offset) for name in names])


def _parse(tree: Path, folder: str, name: str, offset: int) -> tuple[str, int, int]:
    match = NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"a {TITLE} image is named like car_0006_cam1.jpg with a class of {', '.join(CLASSES)}, "
            f"got {tree / folder / name}; rename or remove it"
        )
    pid = offset + CLASS_STEP * CLASSES.index(match[1]) + int(match[2])
    return f"{folder}/{name}", pid, int(match[3]) - 1

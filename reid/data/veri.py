"""VeRi-776: file names to records, and lists of viewpoints to views."""

import logging
import posixpath
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from reid.data.folders import find_tree, title_of
from reid.data.market_layout import MarketLayout
from reid.data.records import UNKNOWN, Records, ReIDDataset
from reid.utils import InputError

logger = logging.getLogger(__name__)

LAYOUT = MarketLayout(
    name="veri",
    title="VeRi-776",
    pattern=re.compile(r"(\d{1,18})_c0*([1-9]|1\d|20)_\d+_\d+\.\w+"),
    example="0002_c002_00030600_0.jpg",
    folders=("image_train", "image_query", "image_test"),
)
SPELLINGS = ("VeRi", "veri", "VeRi-776", "VeRi_with_plate", ".")
TRAIN_VIEWS, TEST_VIEWS = "keypoint_train.txt", "keypoint_test.txt"
VIEW_LINE = re.compile(r"(\S+)(?:\s+-?[0-9.]+)*\s+([0-7])")


def load_veri(root: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Parse VeRi-776 from its file names, ``0002_c002_00030600_0.jpg``: identity 2, camera 2 (stored as 1).

    Views come from ``keypoint_train.txt`` and ``keypoint_test.txt`` where they lie beside the folders of
    images. TransReID and CLIP-ReID, which read the same files, leave out images that these do not list; here
    every image counts, and the view of one that is not listed is unknown. A query finds single images, not
    tracks.

    Source of the viewpoints: Wang et al., "Orientation Invariant Feature Embedding and Spatial Temporal
    Regularization for Vehicle Re-identification", ICCV 2017.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their folder need not exist.
        test: The same for query and gallery.

    Raises:
        InputError: If a folder is missing or empty, an image's name or a line of viewpoints has another form,
            or an identity is both in train and in test.
    """
    tree = find_tree(root, LAYOUT.title, SPELLINGS, LAYOUT.folders)
    dataset = LAYOUT.load(tree, title_of(tree, LAYOUT.title), train=train, test=test)
    if not any((tree / name).is_file() for name in (TRAIN_VIEWS, TEST_VIEWS)):
        return dataset
    return replace(
        dataset,
        train=_with_views(dataset.train, tree / TRAIN_VIEWS),
        test=_with_views(dataset.test, tree / TEST_VIEWS),
    )


def read_views(path: Path) -> dict[str, int]:
    """Read a list of viewpoints: a line ``<image> <x> <y> ... <view>`` an image, the view in 0..7.

    An image's folders do not count, and blank lines are left out. The published lists name some images
    twice; the last line counts.

    Args:
        path: The text file.

    Returns:
        The views by the images' base names.

    Raises:
        InputError: If a line has another form.
    """
    views = {}
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = VIEW_LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(
                f"{path}:{number} must hold an image, then numbers, the last its view in 0..7, got "
                f"'{_shortened(line.strip())}'; unpack the file again"
            )
        views[posixpath.basename(match[1].replace("\\", "/"))] = int(match[2])
    return views


def _with_views(records: Records, path: Path) -> Records:
    """The records with the views that ``path`` lists; where it does not exist, none is known."""
    if not len(records):
        return records
    views = read_views(path) if path.is_file() else {}
    names = map(posixpath.basename, records.paths.tolist())
    viewids = np.array([views.get(name, UNKNOWN) for name in names], np.int64)
    known = int(np.count_nonzero(viewids != UNKNOWN))
    # The published lists leave out some images, which is nothing to change; to list none is.
    logger.log(
        logging.INFO if known else logging.WARNING,
        "%d of %d images have a view in %s; the others are kept, their view unknown",
        known,
        len(records),
        path,
    )
    return replace(records, viewids=viewids)


def _shortened(line: str) -> str:
    return line if len(line) <= 80 else f"{line[:30].rstrip()} ... {line[-30:].lstrip()}"

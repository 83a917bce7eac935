"""VeRi-776: file names to records."""

import re
from pathlib import Path

from reid.data.folders import find_tree, title_of
from reid.data.market_layout import MarketLayout
from reid.data.records import ReIDDataset

LAYOUT = MarketLayout(
    name="veri",
    title="VeRi-776",
    pattern=re.compile(r"(\d{1,18})_c0*([1-9]|1\d|20)_\d+_\d+\.\w+"),
    example="0002_c002_00030600_0.jpg",
    folders=("image_train", "image_query", "image_test"),
)
SPELLINGS = ("VeRi", "veri", "VeRi-776", "VeRi_with_plate", ".")


def load_veri(root: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Parse VeRi-776 from its file names, ``0002_c002_00030600_0.jpg``: identity 2, camera 2 (stored as 1).

    Every image counts; lists of viewpoints are not read. A query finds single images, not tracks.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their folder need not exist.
        test: The same for query and gallery.

    Raises:
        InputError: If a folder is missing or empty, an image's name has another form, or an identity is both
            in train and in test.
    """
    tree = find_tree(root, LAYOUT.title, SPELLINGS, LAYOUT.folders)
    return LAYOUT.load(tree, title_of(tree, LAYOUT.title), train=train, test=test)

"""DukeMTMC-reID and its occluded variant: file names to records."""

import re
from pathlib import Path

from reid.data.folders import find_tree, title_of
from reid.data.market_layout import MarketLayout
from reid.data.records import ReIDDataset

DUKE = MarketLayout(
    name="dukemtmc",
    title="DukeMTMC-reID",
    pattern=re.compile(r"(\d{1,18})_c([1-8])_f?\d+\.\w+"),
    example="0001_c2_f0046182.jpg",
)
OCCLUDED = MarketLayout("occ_duke", "Occluded-Duke", DUKE.pattern, DUKE.example)
DUKE_SPELLINGS = (
    "dukemtmcreid/DukeMTMC-reID",
    "dukemtmc-reid/DukeMTMC-reID",
    "dukemtmcreid",
    "dukemtmc-reid",
    "DukeMTMC-reID",
    "DuckMTMC",  # so spelt in the DenoiseRep authors' instructions
    ".",
)
OCCLUDED_SPELLINGS = (
    "dukemtmcreid/Occluded_Duke",
    "Occluded-DukeMTMC-Dataset/Occluded_Duke",
    "Occluded_Duke",
    "Occluded-Duke",
    ".",
)


def load_dukemtmc(root: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Parse DukeMTMC-reID from its file names, ``0001_c2_f0046182.jpg``: identity 1, camera 2 (stored as 1).

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their folder need not exist.
        test: The same for query and gallery.

    Raises:
        InputError: If a folder is missing or empty, an image's name has another form, or an identity is both
            in train and in test.
    """
    tree = find_tree(root, DUKE.title, DUKE_SPELLINGS, DUKE.folders)
    return DUKE.load(tree, title_of(tree, DUKE.title), train=train, test=test)


def load_occ_duke(root: Path, *, train: bool = True, test: bool = True) -> ReIDDataset:
    """Parse Occluded-Duke, DukeMTMC-reID's images in another split; its names are those of ``load_dukemtmc``.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their folder need not exist.
        test: The same for query and gallery.

    Raises:
        InputError: As ``load_dukemtmc``.
    """
    tree = find_tree(root, OCCLUDED.title, OCCLUDED_SPELLINGS, OCCLUDED.folders)
    return OCCLUDED.load(tree, title_of(tree, OCCLUDED.title), train=train, test=test)

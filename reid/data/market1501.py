"""Market-1501: file names to records, with or without the 500,000 distractors."""

import logging
import re
from dataclasses import replace
from pathlib import Path

from reid.data.folders import find_tree, image_names, title_of
from reid.data.market_layout import DISTRACTOR, MarketLayout
from reid.data.records import UNKNOWN, Records, ReIDDataset
from reid.data.splits import query_and_gallery
from reid.utils import InputError

logger = logging.getLogger(__name__)

LAYOUT = MarketLayout(
    name="market1501",
    title="Market-1501",
    pattern=re.compile(r"(-1|\d{1,18})_c([1-9]\d{0,8})(?:s\d+)?_.+"),
    example="0002_c1s1_000451_03.jpg",
    has_junk=True,
)
SPELLINGS = (
    "market1501/Market-1501-v15.09.15",
    "market1501",
    "Market-1501-v15.09.15",
    "Market-1501",
    ".",
)
DISTRACTORS = "images"


def load_market1501(
    root: Path, *, train: bool = True, test: bool = True, distractors: bool = False
) -> ReIDDataset:
    """Parse Market-1501 from its file names, ``0002_c1s1_000451_03.jpg``: identity 2, camera 1 (stored as 0).

    Identity -1 is junk and dropped everywhere; identity 0 is kept: in the gallery it is a distractor.

    Args:
        root: The data root, or the data set's own folder.
        train: Whether the training images are wanted; if not, their folder need not exist.
        test: The same for query and gallery.
        distractors: Whether the images of ``images/``, the set's 500k distractors, join the gallery.

    Raises:
        InputError: If a folder is missing or holds no identity, an image's name has another form, or an
            identity is both in train and in test.
    """
    train_folder, query_folder, gallery_folder = LAYOUT.folders
    tree = find_tree(root, LAYOUT.title, SPELLINGS, (train_folder, gallery_folder, query_folder))
    dataset = LAYOUT.load(tree, title_of(tree, LAYOUT.title), train=train, test=test)
    if distractors and test:
        return _with_distractors(dataset)
    if test and (tree / DISTRACTORS).is_dir():
        logger.info("the distractors in %s are left out of the gallery", tree / DISTRACTORS)
    return dataset


def _with_distractors(dataset: ReIDDataset) -> ReIDDataset:
    """Append them to the gallery: identity 0, and no camera, since no query can share it with them."""
    tree = dataset.test.root
    names = [name for name in image_names(tree / DISTRACTORS, LAYOUT.title) if not name.startswith("-1_")]
    if not names:
        raise InputError(f"{LAYOUT.title} needs distractors in {tree / DISTRACTORS}, found none")
    rows = [(f"{DISTRACTORS}/{name}", DISTRACTOR, UNKNOWN) for name in names]
    (trial,) = dataset.trials
    gallery = dataset.test.select(trial.gallery).append(Records.from_rows(tree, rows))
    test, trials = query_and_gallery(dataset.test.select(trial.query), gallery)
    return replace(dataset, title=f"{dataset.title} with distractors", test=test, trials=trials)

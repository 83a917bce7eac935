"""The images that features are extracted of: a folder, a list, or a split of a data set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reid.data import LOADERS, Records, ReIDDataset, load_dataset
from reid.data.folders import images_below
from reid.data.records import UNKNOWN
from reid.utils import InputError, unknown_choice

SPLITS = ("all", "train", "test", "query", "gallery")


@dataclass(frozen=True)
class ImageList:
    """Images in the order in which their features are wanted.

    Args:
        name: Of the data set, which tells whose cameras they are, or of the folder.
        title: What results call it, with the split.
        records: The images.
        identities: Where identities are texts, the text of each number; else empty.
    """

    name: str
    title: str
    records: Records
    identities: tuple[str, ...] = ()


def read_image_list(images: str, root: Path, split: str = "all", trial: int | None = None) -> ImageList:
    """Find the images that ``images`` names.

    Args:
        images: A name that ``load_dataset`` knows, a ``.csv`` list among them; or else a folder, whose images
            are taken with those of all folders below, in sorted order, of unknown identity and camera.
        root: What ``images`` is relative to.
        split: ``train``, ``test`` (every image of the evaluation), ``query``, ``gallery``, or ``all``, which
            is train and then test; query comes before gallery where the data set keeps them apart.
        trial: Whose query or gallery, from 1, where the data set has several trials.

    Raises:
        InputError: If there are no such images, the folder has splits asked for, or a trial must be named.
    """
    if not images:
        raise InputError("the images must be named: a list, a data set or a folder, got an empty text")
    if split not in SPLITS:
        raise InputError(unknown_choice("split", split, SPLITS))
    if trial is not None and split not in ("query", "gallery"):
        raise InputError(f"a trial has a query and a gallery split, split is {split}; leave the trial out")
    folder = root / images
    if images not in LOADERS and not images.lower().endswith(".csv") and ":" not in images:
        if not folder.is_dir():
            raise InputError(f"{unknown_choice('data set', images, LOADERS)}; and {folder} is no folder")
        if split != "all":
            raise InputError(f"a folder has no splits, got {split} of {folder}; name the folder of the split")
        paths = images_below(folder)
        unknown = np.full(len(paths), UNKNOWN, np.int64)
        return ImageList(str(folder), str(folder), Records(folder, np.array(paths, str), unknown, unknown))
    dataset = load_dataset(images, root, train=split in ("all", "train"), test=split != "train")
    records = _records_of(dataset, split, trial)
    if len(records) == 0:
        raise InputError(f"{dataset.title} has no images in its split {split}; name another with --split")
    return ImageList(dataset.name, f"{dataset.title} {split}", records, dataset.identities)


def _records_of(dataset: ReIDDataset, split: str, trial: int | None) -> Records:
    if split == "all":
        return dataset.train.append(dataset.test)
    if split in ("train", "test"):
        return dataset.train if split == "train" else dataset.test
    count = len(dataset.trials)
    if count == 0:
        raise InputError(f"{dataset.title} has no query and gallery; use --split train, test or all")
    if trial is None and count == 1:
        trial = 1
    if trial is None or not 1 <= trial <= count:
        raise InputError(
            f"{dataset.title} draws query and gallery {count} times, --trial must be 1 to {count}, got"
            f" {'none' if trial is None else trial}"
        )
    chosen = dataset.trials[trial - 1]
    return dataset.test.select(chosen.query if split == "query" else chosen.gallery)

"""Crops in one folder an identity, as trackers and annotators leave them."""

import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data.folders import check_root, image_names
from reid.data.matches import count_matches, warn_of_queries_without_match
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.utils import InputError

SPLITS = ("train", "test", "query", "gallery")
# Market-1501's convention, 0002_c1s1_000451_03.jpg: a camera's number, from 1.
CAMERA = re.compile(r"_c([1-9]\d{0,8})(?:s\d+)?(?=[_.])")
LAYOUT = (
    "expected <identity>/<images>, or train/<identity>/<images> beside test/<identity>/<images>, "
    "or beside query/ and gallery/"
)


def load_identity_folders(root: Path, *, train: bool = True, test: bool = True, seed: int = 0) -> ReIDDataset:
    """Read ``root/<identity>/<images>``, or the same below ``train``, ``test``, ``query`` and ``gallery``.

    Without split folders all images are test images. Test images without ``query`` and ``gallery`` get a
    protocol of their own: of each identity one image, drawn with ``seed`` among those that have a match, is
    the query, and all other images are the gallery. An identity is numbered by its folder's place in sorted
    order over all splits; a folder called ``-1`` holds images of unknown identity. The camera is the number
    in ``_c<number>`` of an image's name, minus one, else unknown.

    Args:
        root: The folder.
        train: Whether the training images are wanted.
        test: The same for the test images.
        seed: Of the queries that are drawn, non-negative.

    Raises:
        InputError: If the root is no folder or holds no images in identity folders, ``query`` and ``gallery``
            are not both there or stand beside ``test``, an identity is both in train and in test, or none has
            a second image to be drawn as a query.
    """
    check_root(root)
    found = {split: _identities(root / split) for split in SPLITS if (root / split).is_dir()}
    found = found or {"": _identities(root)}
    _check_layout(root, found)
    places = {
        name: place for place, name in enumerate(sorted({n for names in found.values() for n in names}))
    }
    places["-1"] = UNKNOWN
    parts = {
        split: _read_part(root, split, names, places)
        for split, names in found.items()
        if (train if split == "train" else test)
    }
    training = parts.pop("train", Records.empty(root))
    name = root.resolve().name
    if not parts:
        return ReIDDataset(name, name, "train", training, Records.empty(root), ())
    if "query" in parts:
        testing, num_query = parts["query"].append(parts["gallery"]), len(parts["query"])
        trial, title = Trial(np.arange(num_query), np.arange(num_query, len(testing))), name
    else:
        (testing,) = parts.values()
        trial = _draw_trial(root, testing, seed)
        title = f"{name} (one query an identity, seed {seed})"
    warn_of_queries_without_match(str(root), testing, trial)
    return ReIDDataset(name, title, "train", training, testing, (trial,))


def _identities(folder: Path) -> list[str]:
    """The sorted names of the folders in ``folder``, hidden ones left out."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")


def _check_layout(root: Path, found: dict[str, list[str]]) -> None:
    if ("query" in found) != ("gallery" in found) or {"query", "test"} <= set(found):
        raise InputError(
            f"identity folders are tested with query/ and gallery/ together, or with test/ alone; "
            f"{root} holds {', '.join(found)}"
        )
    testing = {name for split, names in found.items() if split != "train" for name in names}
    shared = sorted(testing & set(found.get("train", [])) - {"-1"})
    if shared:
        raise InputError(
            f"identity '{shared[0]}' is both in train and in test under {root} ({len(shared)} such in all); "
            f"move all its images to one side, or rename the folder where they are different people"
        )


def _read_part(root: Path, split: str, names: list[str], places: dict[str, int]) -> Records:
    rows = [
        (f"{split}/{name}/{image}".lstrip("/"), places[name], _camera(image))
        for name in names
        for image in image_names(root / split / name, root.name)
    ]
    if not rows:
        raise InputError(f"{root / split} holds no images in identity folders; {LAYOUT}")
    return Records.from_rows(root, rows)


def _camera(image: str) -> int:
    match = CAMERA.search(image)
    return int(match[1]) - 1 if match else UNKNOWN


def _draw_trial(root: Path, testing: Records, seed: int) -> Trial:
    """One query an identity; an identity without a match stays in the gallery as a distractor."""
    rows = np.arange(len(testing))
    # Each image against all: where the camera is unknown, it has counted itself.
    matches = count_matches(testing, Trial(rows, rows)) - (testing.camids == UNKNOWN)
    candidates: NDArray[np.int64] = np.random.default_rng(seed).permutation(rows[matches > 0])
    query = np.sort(candidates[np.unique(testing.pids[candidates], return_index=True)[1]])
    if not len(query):
        raise InputError(
            f"a query needs a second image of its identity, from another camera where cameras are known; "
            f"no identity under {root} has one; add images"
        )
    return Trial(query, np.setdiff1d(rows, query))

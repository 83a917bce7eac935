"""Where data and weights are, and what is missing."""

import hashlib
from pathlib import Path

from reid.data import ReIDDataset, load_dataset, write_synthetic
from reid.leaderboard.recipes import FOLDERS, Recipe
from reid.utils import InputError

TOY_LAYOUTS = {"cuhk03": "cuhk03_np"}
# What makes a recipe small enough for drawn people and a CPU; the network's name comes before these.
TOY_WORDS = (
    *("INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]", "INPUT.PADDING", "4"),
    *("SOLVER.MAX_EPOCHS", "1", "SOLVER.WARMUP_EPOCHS", "0", "SOLVER.IMS_PER_BATCH", "16"),
    *("DENOISE.MAX_EPOCHS", "2", "DENOISE.PERIOD", "1"),
    *("DATALOADER.NUM_WORKERS", "0", "SOLVER.TENSORBOARD", "False"),
    *("MODEL.STRIDE_SIZE", "[0, 0]", "MODEL.STEM_CONV", "False"),
)


class Disk:
    """What lies under two roots; each data set and file is looked for once, however many cells need it.

    Args:
        data: The data root.
        weights: What weight files lie under, at any depth.

    Attributes:
        contents: Of each data set that was read, a name of its images: others have another.
    """

    def __init__(self, data: Path, weights: Path) -> None:
        self.data, self.weights = data, weights
        self.contents: dict[str, str] = {}
        self._faults: dict[str, str | None] = {}
        self._paths: dict[str, Path | None] = {}

    def missing_data(self, recipe: Recipe) -> list[str]:
        """Why data sets of a recipe cannot be read; one line each."""
        lines = [self.fault(name) for name in recipe.data]
        return [line for line in lines if line]

    def find_weights(self, recipe: Recipe, given: tuple[str, ...] = ()) -> tuple[tuple[str, ...], list[str]]:
        """KEY VALUE words that name the files of a recipe, and a line for each that is missing.

        Args:
            recipe: What needs them.
            given: KEY VALUE words of the user; a file that they name is not looked for.
        """
        words: list[str] = []
        lines = []
        for file in recipe.weights:
            if file.key in given[::2]:
                continue
            path = self._path(file.name)
            if path is None:
                lines.append(f"{file.name} is missing under {self.weights}; get it from {file.source}")
            else:
                words += [file.key, str(path)]
        return tuple(words), lines

    def _path(self, name: str) -> Path | None:
        """Where a file of weights is; one that lies at the root itself before others."""
        if name not in self._paths:
            place = self.weights / name
            below = [place] if place.is_file() else sorted(self.weights.rglob(name))
            self._paths[name] = next((path for path in below if path.is_file()), None)
        return self._paths[name]

    def fault(self, name: str) -> str | None:
        """Why a data set cannot be read, and where it is to be put; None where it can."""
        if name not in self._faults:
            try:
                dataset = load_dataset(name, self.data, cuhk03_boxes="labeled")
                self.contents[name] = _content_of(dataset)
                self._faults[name] = None
            except InputError as error:
                self._faults[name] = f"{name} is missing: {error}; put it into {self.data / FOLDERS[name]}"
        return self._faults[name]


def _content_of(dataset: ReIDDataset) -> str:
    """Of the names, sizes in bytes, identities and cameras of the images; decoding all would take minutes."""
    found = hashlib.sha256()
    for records in (dataset.train, dataset.test):
        paths = [records.path(row) for row in range(len(records))]
        sizes = [path.stat().st_size if path.is_file() else -1 for path in paths]
        columns = zip(paths, sizes, records.pids.tolist(), records.camids.tolist(), strict=True)
        found.update(repr([(path.name, *numbers) for path, *numbers in columns]).encode())
    return found.hexdigest()[:12]


def draw_toys(recipe: Recipe, root: Path) -> None:
    """Draw small sets of people in the layouts that a recipe reads, where they are not yet."""
    for name in recipe.data:
        write_synthetic(
            TOY_LAYOUTS.get(name, name),
            root / FOLDERS[name],
            num_train_ids=8,
            num_test_ids=4,
            num_cameras=2,
            images_per_camera=2,
            image_size=(64, 32),
        )


def toy_words(recipe: Recipe) -> tuple[str, ...]:
    """KEY VALUE words that make a recipe small enough for drawn people and a CPU."""
    stem = recipe.config
    name = "clip_vit_micro" if stem.startswith("clip") else "resnet10" if "resnet" in stem else "vit_micro"
    return ("MODEL.NAME", name, *TOY_WORDS)

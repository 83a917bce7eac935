"""Where data and weights are, and what is missing."""

from pathlib import Path

from reid.data import load_dataset, write_synthetic
from reid.leaderboard.recipes import FOLDERS, Recipe
from reid.utils import InputError

TOY_LAYOUTS = {"cuhk03": "cuhk03_np"}


def missing_data(recipe: Recipe, root: Path) -> list[str]:
    """Why data sets of a recipe cannot be read under ``root``; one line each."""
    lines = []
    for name in recipe.data:
        try:
            load_dataset(name, root, cuhk03_boxes="labeled")
        except InputError as error:
            lines.append(f"{name} is missing: {error}; put it into {root / FOLDERS[name]}")
    return lines


def find_weights(recipe: Recipe, root: Path, given: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """KEY VALUE words that name the files of a recipe, and a line for each that is missing.

    Args:
        recipe: What needs them.
        root: What they lie under, at any depth.
        given: KEY VALUE words of the user; a file that they name is not looked for.
    """
    words: list[str] = []
    lines = []
    for weights in recipe.weights:
        if weights.key in given[::2]:
            continue
        place = root / weights.name
        path = place if place.is_file() else next(iter(sorted(root.rglob(weights.name))), None)
        if path is None:
            lines.append(f"{weights.name} is missing under {root}; get it from {weights.source}")
        else:
            words += [weights.key, str(path)]
    return tuple(words), lines


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
    return (
        *("MODEL.NAME", name, "INPUT.SIZE_TRAIN", "[64, 32]", "INPUT.SIZE_TEST", "[64, 32]"),
        *("INPUT.PADDING", "4", "SOLVER.MAX_EPOCHS", "1", "SOLVER.WARMUP_EPOCHS", "0"),
        *("SOLVER.IMS_PER_BATCH", "16", "DENOISE.MAX_EPOCHS", "2", "DENOISE.PERIOD", "1"),
        *("DATALOADER.NUM_WORKERS", "0", "SOLVER.TENSORBOARD", "False"),
        *("MODEL.STRIDE_SIZE", "[0, 0]", "MODEL.STEM_CONV", "False"),
    )

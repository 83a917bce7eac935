"""The paper's cells one by one: what they say, how each is run, and what of that is on disk."""

from typing import Any

from reid.leaderboard.paper import Cell
from reid.leaderboard.places import Disk
from reid.leaderboard.recipes import FOLDERS, Recipe, recipe_of

LIST_HEADER = ("row", "table", "data set", "paper", "recipe", "on disk")


def list_line(cell: Cell, disk: Disk) -> list[str]:
    """A row of text under ``LIST_HEADER``."""
    recipe = recipe_of(cell)
    how = (
        f"{recipe.config.removesuffix('.yml')}, {recipe.variant.replace('_', '-')}"
        if recipe
        else "none: quoted"
    )
    figures = " ".join(
        f"{name} {value:.2f} s" if name == "seconds" else f"{name} {100 * value:.2f}"
        for name, value in cell.figures.items()
    )
    return [cell.row, str(cell.table), cell.dataset, figures, how, _on_disk(recipe, disk) if recipe else ""]


def as_dict(cell: Cell) -> dict[str, Any]:
    """The same for machines: figures as fractions, with source and protocol, and all that a recipe says."""
    recipe = recipe_of(cell)
    own = {"table": cell.table, "row": cell.row, "dataset": cell.dataset, "paper": dict(cell.figures)}
    return {
        "cell": cell.key,
        **own,
        "source": cell.source,
        "protocol": cell.protocol,
        "recipe": recipe
        and {
            "config": recipe.config,
            "variant": recipe.variant,
            "words": [*recipe.network, *recipe.words],
            "weights": {file.name: file.source for file in recipe.weights},
            "data": [FOLDERS[name] for name in recipe.data],
            "notes": list(recipe.notes),
        },
    }


def _on_disk(recipe: Recipe, disk: Disk) -> str:
    found, _ = disk.find_weights(recipe)
    lacking = [file.name for file in recipe.weights if file.key not in found[::2]]
    lacking += [FOLDERS[name] for name in recipe.data if disk.fault(name)]
    return f"no {', '.join(lacking)}" if lacking else "all"

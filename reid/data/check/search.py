"""Which data sets lie under a root."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from reid.data.folders import check_root
from reid.data.records import ReIDDataset
from reid.utils import InputError

NOT_FOUND = " not found: "  # reid.data.folders.not_found; any other refusal is of something that is there


class FoundSet(NamedTuple):
    """A data set whose folder is there.

    Args:
        name: The registry's name.
        tree: Its folder.
        dataset: What was parsed; None where the parser refused it.
        refusal: The parser's message, or empty.
    """

    name: str
    tree: Path
    dataset: ReIDDataset | None
    refusal: str


def find_sets(load: Callable[..., ReIDDataset], root: Path, names: Iterable[str]) -> list[FoundSet]:
    """Parse every data set that is there.

    Args:
        load: Called as ``load(name, train=..., test=...)``; looks under ``root``.
        root: The data root.
        names: Which sets to look for.

    Raises:
        InputError: If the root is no folder.
    """
    check_root(root)
    found = (_try(load, name) for name in names)
    return [one for one in found if one is not None]


def _try(load: Callable[..., ReIDDataset], name: str) -> FoundSet | None:
    try:
        tree = load(name, train=False, test=False).train.root
    except InputError as error:
        if NOT_FOUND in str(error):
            return None
        raise
    try:
        return FoundSet(name, tree, load(name, train=True, test=True), "")
    except InputError as error:
        return FoundSet(name, tree, None, str(error))

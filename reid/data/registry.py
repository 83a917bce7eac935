"""Names of data sets to their loaders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.data.csv_list import load_csv
from reid.data.market1501 import load_market1501
from reid.data.msmt17 import load_msmt17
from reid.data.records import ReIDDataset
from reid.data.vehicles2cam import load_vehicles2cam
from reid.utils import InputError, unknown_choice

LOADERS: dict[str, Callable[..., ReIDDataset]] = {
    "market1501": load_market1501,
    "msmt17": load_msmt17,
    "vehicles2cam": load_vehicles2cam,
}


def load_dataset(
    name: str,
    root: Path,
    *,
    train: bool = True,
    test: bool = True,
    msmt_use_val: bool = True,
    msmt_version: str = "",
) -> ReIDDataset:
    """Load a data set by name, or from a CSV list where the name ends in ``.csv``.

    Args:
        name: A key of ``LOADERS``, or the path of a CSV file, relative to ``root`` unless absolute.
        root: The data root.
        train: Whether the training images are wanted; if not, they need not exist.
        test: The same for query and gallery.
        msmt_use_val: Passed to ``load_msmt17`` as ``use_val``.
        msmt_version: Passed to ``load_msmt17`` as ``version``.

    Raises:
        InputError: If the name is unknown, the root is no folder, or the loader refuses what it finds.
    """
    if name.lower().endswith(".csv"):
        return load_csv(root / name, train=train, test=test)
    if name not in LOADERS:
        raise InputError(unknown_choice("data set", name, [*LOADERS, "<path>.csv"]))
    options: dict[str, dict[str, Any]] = {"msmt17": {"use_val": msmt_use_val, "version": msmt_version}}
    return LOADERS[name](root, train=train, test=test, **options.get(name, {}))

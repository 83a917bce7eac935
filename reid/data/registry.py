"""Names of data sets to their loaders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.data.csv_list import load_csv
from reid.data.cuhk03 import load_cuhk03
from reid.data.dukemtmc import load_dukemtmc, load_occ_duke
from reid.data.identity_folders import load_identity_folders
from reid.data.market1501 import load_market1501
from reid.data.mot import MotRules, load_mot
from reid.data.msmt17 import load_msmt17
from reid.data.records import ReIDDataset
from reid.data.vehicleid import load_vehicleid
from reid.data.vehicles2cam import load_vehicles2cam
from reid.data.veri import load_veri
from reid.utils import InputError, unknown_choice

# What stands before the colon in the name of anyone's own images.
FOLDERS, MOT = "folders", "mot"

LOADERS: dict[str, Callable[..., ReIDDataset]] = {
    "market1501": load_market1501,
    "dukemtmc": load_dukemtmc,
    "occ_duke": load_occ_duke,
    "msmt17": load_msmt17,
    "cuhk03": load_cuhk03,
    "veri": load_veri,
    "vehicleid": load_vehicleid,
    "vehicles2cam": load_vehicles2cam,
}


def load_dataset(
    name: str,
    root: Path,
    *,
    train: bool = True,
    test: bool = True,
    market_distractors: bool = False,
    msmt_use_val: bool = True,
    msmt_version: str = "",
    cuhk03_boxes: str = "",
    cuhk03_protocol: str = "new",
    cuhk03_split: int = 1,
    vehicleid_test_size: int = 800,
    folders_seed: int = 0,
    mot_rules: MotRules | None = None,
) -> ReIDDataset:
    """Load a data set by name, from a CSV list, from identity folders or from MOT video.

    Args:
        name: A key of ``LOADERS``, the path of a CSV file (it ends in ``.csv``), ``folders:PATH`` or
            ``mot:PATH``; paths are relative to ``root`` unless absolute.
        root: The data root.
        train: Whether the training images are wanted; if not, they need not exist.
        test: The same for query and gallery.
        market_distractors: Passed to ``load_market1501`` as ``distractors``.
        msmt_use_val: Passed to ``load_msmt17`` as ``use_val``.
        msmt_version: Passed to ``load_msmt17`` as ``version``.
        cuhk03_boxes: Passed to ``load_cuhk03`` as ``boxes``.
        cuhk03_protocol: Passed to ``load_cuhk03`` as ``protocol``.
        cuhk03_split: Passed to ``load_cuhk03`` as ``split``.
        vehicleid_test_size: Passed to ``load_vehicleid`` as ``test_size``.
        folders_seed: Passed to ``load_identity_folders`` as ``seed``.
        mot_rules: Passed to ``load_mot`` as ``rules``.

    Raises:
        InputError: If the name is unknown, the root is no folder, or the loader refuses what it finds.
    """
    if name.lower().endswith(".csv"):
        return load_csv(root / name, train=train, test=test)
    kind, colon, path = name.partition(":")
    if colon and kind == FOLDERS:
        return load_identity_folders(root / path, train=train, test=test, seed=folders_seed)
    if colon and kind == MOT:
        return load_mot(root / path, train=train, test=test, rules=mot_rules)
    if name not in LOADERS and (root / name).is_dir():
        raise InputError(
            f"{root / name} is a folder, which tells neither cameras nor identities; list its images in a CSV"
            f" file under path,camid or path,pid,camid, or name {FOLDERS}:{name} where each folder in it is"
            " an identity"
        )
    if name not in LOADERS:
        known = [*LOADERS, "<path>.csv", f"{FOLDERS}:<path>", f"{MOT}:<path>"]
        raise InputError(unknown_choice("data set", name, known))
    options: dict[str, dict[str, Any]] = {
        "market1501": {"distractors": market_distractors},
        "msmt17": {"use_val": msmt_use_val, "version": msmt_version},
        "cuhk03": {"boxes": cuhk03_boxes, "protocol": cuhk03_protocol, "split": cuhk03_split},
        "vehicleid": {"test_size": vehicleid_test_size},
    }
    return LOADERS[name](root, train=train, test=test, **options.get(name, {}))

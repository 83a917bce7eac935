"""Feature files: features with identities and cameras, so that any project's model can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reid.evaluation.array_files import ArrayFile, open_arrays
from reid.evaluation.feature_columns import as_features, as_numbers, as_paths
from reid.evaluation.features import FeatureSet
from reid.utils import InputError, check_output, write_atomically

# Our own name first, then those of other projects.
FEATURES = ("features", "feature", "feats", "feat", "embeddings", "embedding", "embs", "f")
PIDS = ("pids", "pid", "labels", "label", "ids", "id", "identities", "person_ids", "vehicle_ids", "targets")
CAMIDS = ("camids", "camid", "cams", "cam", "cameras", "camera", "cam_ids", "camera_ids")
PATHS = ("paths", "path", "img_paths", "image_paths", "filenames", "files")
# What stands before these names in a file of both sides: query_f, query_features, qf, q_pids.
QUERY, GALLERY = ("query_", "q_", "q"), ("gallery_", "g_", "g")
NONE = ("",)


@dataclass(frozen=True, eq=False)
class SavedFeatures:
    """One side of a retrieval, out of a file.

    Args:
        source: The file, and of a file of both sides which.
        table: Features, identities and cameras.
        paths: (N,) the images' files as their project calls them; None where the file does not tell.
    """

    source: str
    table: FeatureSet
    paths: NDArray[np.str_] | None


def check_feature_output(path: Path, *inputs: Path | None) -> None:
    """Refuse, before the work, a path to which :func:`write_features` could not write.

    Raises:
        InputError: If it does not end in ``.npz``, or as ``check_output``.
    """
    if path.suffix.lower() != ".npz":
        raise InputError(f"features are written as .npz, got {path}; name {path.with_suffix('.npz').name}")
    check_output(path, *inputs)


def write_features(path: Path, table: FeatureSet, paths: NDArray[np.str_]) -> None:
    """Write ``features`` (N, D) float32, ``paths`` (N,) str, ``pids`` and ``camids`` (N,) int64, atomically.

    The same arrays give the same bytes.

    Args:
        path: Ends in ``.npz``.
        table: What is written.
        paths: (N,) the images' files.

    Raises:
        InputError: If the path cannot be replaced.
        OSError: If the file cannot be written; an older one is then left as it was.
    """
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            features=table.feats.numpy(),
            paths=np.asarray(paths, str),
            pids=table.pids.numpy(),
            camids=table.camids.numpy(),
        )


def read_features(path: Path) -> SavedFeatures:
    """Read a file of one side, ``.npz``, ``.mat`` or ``.pt``, under our names or those of other projects.

    Raises:
        InputError: If the file cannot be read safely, lacks a column, has one under two names, or a column
            is not what it must be.
    """
    found = open_arrays(path)
    both = [name for side in (QUERY, GALLERY) for name in _named(found, FEATURES, side)]
    if not _named(found, FEATURES, NONE) and both:
        raise InputError(f"{path} must hold one side, it holds {' and '.join(both)}; pass it as --features")
    return _read_side(found, NONE, str(path))


def read_both_sides(path: Path) -> tuple[SavedFeatures, SavedFeatures]:
    """Read query and gallery out of one file, such as a ``.mat`` of ``query_f``, ``gallery_f`` and labels.

    Raises:
        InputError: As :func:`read_features`.
    """
    found = open_arrays(path)
    if not _named(found, FEATURES, QUERY) and _named(found, FEATURES, NONE):
        raise InputError(f"{path} must hold two sides, it holds one; pass it as --query or --gallery")
    return _read_side(found, QUERY, f"{path} (query)"), _read_side(found, GALLERY, f"{path} (gallery)")


def _read_side(found: ArrayFile, side: Sequence[str], source: str) -> SavedFeatures:
    # Names first: a missing one is told before a gigabyte is read.
    names = [_one_name(found, known, side) for known in (FEATURES, PIDS, CAMIDS)]
    features, *labels = (f"{found.path}: {name!r}" for name in names)
    feats = as_features(found.read(names[0]), features)
    pids, camids = (
        torch.from_numpy(as_numbers(found.read(name), len(feats), at))
        for name, at in zip(names[1:], labels, strict=True)
    )
    paths = None
    # Of MATLAB's and of both sides in one file, texts are of many forms and nothing here needs them.
    if side == NONE and found.path.suffix.lower() != ".mat" and _named(found, PATHS, side):
        name = _one_name(found, PATHS, side)
        paths = as_paths(found.read(name), len(feats), f"{found.path}: {name!r}")
    return SavedFeatures(source, FeatureSet(feats, pids, camids), paths)


def _named(found: ArrayFile, known: Sequence[str], side: Sequence[str]) -> list[str]:
    """The names in the file that mean the column whose names are ``known``."""
    meant = {start + name for start in side for name in known}
    return [name for name in found.names if name in meant]


def _one_name(found: ArrayFile, known: Sequence[str], side: Sequence[str]) -> str:
    names = _named(found, known, side)
    if len(names) > 1:
        raise InputError(
            f"{found.path} must hold {side[0]}{known[0]} once, it holds {' and '.join(map(repr, names))};"
            " remove all but one"
        )
    if not names:
        raise InputError(
            f"{found.path} must hold {side[0]}{known[0]} (or {side[0]}{known[2]} and the like), it holds"
            f" {', '.join(map(repr, found.names[:12])) or 'nothing'}; add it, -1 where it is"
            " unknown"
        )
    return names[0]

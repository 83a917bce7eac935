"""Feature files: features with identities and cameras, so that any project's model can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reid.data.records import UNKNOWN
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
IDENTITY_NAMES = "identity_names"


@dataclass(frozen=True, eq=False)
class SavedFeatures:
    """One side of a retrieval, out of a file.

    Args:
        source: The file, and of a file of both sides which.
        table: Features, identities and cameras.
        paths: (N,) the images' files as their project calls them; None where the file does not tell.
        identities: Where identities are texts, the text of each number; else empty.
    """

    source: str
    table: FeatureSet
    paths: NDArray[np.str_] | None
    identities: tuple[str, ...] = ()


def check_feature_output(path: Path, *inputs: Path | None) -> None:
    """Refuse, before the work, a path to which :func:`write_features` could not write.

    Raises:
        InputError: If it does not end in ``.npz``, or as ``check_output``.
    """
    if path.suffix.lower() != ".npz":
        raise InputError(f"features are written as .npz, got {path}; name {path.with_suffix('.npz').name}")
    check_output(path, *inputs)


def write_features(
    path: Path, table: FeatureSet, paths: NDArray[np.str_], identities: Sequence[str] = ()
) -> None:
    """Write ``features`` (N, D) float32, ``paths`` (N,) str, ``pids`` and ``camids`` (N,) int64, atomically.

    The same arrays give the same bytes. Identities that are texts are written too, as ``identity_names``: the
    numbers of another list of images mean others.

    Args:
        path: Ends in ``.npz``.
        table: What is written.
        paths: (N,) the images' files.
        identities: The text of each number where identities are texts.

    Raises:
        InputError: If the path cannot be replaced.
        OSError: If the file cannot be written; an older one is then left as it was.
    """
    columns = {
        "features": table.feats.numpy(),
        "paths": np.asarray(paths, str),
        "pids": table.pids.numpy(),
        "camids": table.camids.numpy(),
    }
    if identities:
        columns[IDENTITY_NAMES] = np.array(identities, str)
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]  # its other options are no column's names


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
    texts = _read_texts(found, pids) if side == NONE and IDENTITY_NAMES in found.names else ()
    return SavedFeatures(source, FeatureSet(feats, pids, camids), paths, texts)


def with_same_numbers(one: SavedFeatures, other: SavedFeatures) -> tuple[SavedFeatures, SavedFeatures]:
    """Two sides whose identities of one text have one number.

    Raises:
        InputError: If one side has texts and the other has not.
    """
    if one.identities == other.identities:
        return one, other
    if not one.identities or not other.identities:
        with_texts, without = (one, other) if one.identities else (other, one)
        raise InputError(
            f"the identities of both sides must be of one kind, {with_texts.source} has texts such as"
            f" {with_texts.identities[0]!r}, {without.source} has numbers; extract both from lists alike"
        )
    texts = tuple(sorted({*one.identities, *other.identities}))
    return _numbered(one, texts), _numbered(other, texts)


def _numbered(side: SavedFeatures, texts: tuple[str, ...]) -> SavedFeatures:
    places = {text: place for place, text in enumerate(texts)}
    # -1, unknown, takes the last of these.
    numbers = torch.tensor([places[text] for text in side.identities] + [UNKNOWN])
    table = FeatureSet(side.table.feats, numbers[side.table.pids], side.table.camids)
    return SavedFeatures(side.source, table, side.paths, texts)


def _read_texts(found: ArrayFile, pids: torch.Tensor) -> tuple[str, ...]:
    at = f"{found.path}: {IDENTITY_NAMES!r}"
    texts = found.read(IDENTITY_NAMES)
    if not isinstance(texts, np.ndarray) or texts.ndim != 1 or texts.dtype.kind != "U":
        raise InputError(f"{at} must be the texts of the identities 0, 1, ..., it is not; extract them anew")
    if pids.max() >= len(texts) or len(set(texts.tolist())) < len(texts):
        raise InputError(
            f"{at} must have a text of its own for each of the identities up to {int(pids.max())}, it has"
            f" {len(set(texts.tolist()))}; extract them anew"
        )
    return tuple(texts.tolist())


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

"""Statistics in a file: half of each symmetric matrix, what weights they are of, and a digest of it all."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from reid.denoise.moments import Moments
from reid.denoise.outer import mirrored

KIND = "reid.denoise statistics 3"


def save_statistics(statistics: Mapping[str, Moments], path: str | Path, of: str = "") -> None:
    """Write statistics to a file, whole or not at all; the same ones are the same bytes.

    Args:
        statistics: By the names of the layers; of a scatter its upper triangle is kept, in float64.
        path: The file.
        of: What weights they are of, for :func:`load_statistics` to compare; empty leaves it unsaid.

    Raises:
        OSError: If the file cannot be written.
    """
    layers = {
        name: {"count": moments.count, "mean": moments.mean, "upper": _upper(moments.scatter)}
        for name, moments in statistics.items()
    }
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        # To an open file: given a name, torch would write it into the archive.
        with part.open("wb") as file:
            torch.save({"kind": KIND, "of": of, "layers": layers, "digest": _digest(of, layers)}, file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_statistics(path: str | Path, of: str | None = None) -> dict[str, Moments]:
    """Read what :func:`save_statistics` wrote; no code in the file can run.

    Args:
        path: The file.
        of: What weights they must be of; not compared where this, or the file, does not say.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds anything else, is damaged, or holds statistics of other weights.
    """
    written, statistics = _read(path)
    if of and written and written != of:
        raise ValueError(
            f"{path} holds statistics of other weights, {written[:80]!r}, not {of!r}; gather them anew"
        )
    return statistics


def _read(path: str | Path) -> tuple[str, dict[str, Moments]]:
    # Opened here, so that an OSError below is one of a damaged archive, whose places lie nowhere.
    with Path(path).open("rb") as file:
        return _content(file, path)


def _content(file: BinaryIO, path: str | Path) -> tuple[str, dict[str, Moments]]:
    try:
        content = torch.load(file, weights_only=True, map_location="cpu")
        of, layers = content["of"], content["layers"]
        if content["kind"] == KIND and isinstance(of, str) and content["digest"] == _digest(of, layers):
            return of, {name: _moments(**parts) for name, parts in layers.items()}
    # What torch raises on damaged files, and what comes of a file of another shape.
    except (
        OSError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        ArithmeticError,
        AssertionError,
    ):
        pass
    raise ValueError(f"{path} holds no statistics of this version, or is damaged; gather them anew")


def _digest(of: str, layers: Mapping[str, Mapping[str, Any]]) -> str:
    """SHA-256 over the names, the counts and the bytes of the tensors, in their order."""
    found = hashlib.sha256(repr(of).encode())
    for name, parts in layers.items():
        mean, upper = parts["mean"], parts["upper"]
        found.update(repr((name, parts["count"], mean.dtype, mean.shape, upper.dtype, upper.shape)).encode())
        for values in (mean, upper):
            found.update(values.contiguous().numpy().data)
    return found.hexdigest()


def _upper(matrix: Tensor) -> Tensor:
    """(d (d + 1) / 2,) the upper triangle, row by row."""
    rows, columns = torch.triu_indices(len(matrix), len(matrix))
    return matrix[rows, columns]


def _moments(count: int, mean: Tensor, upper: Tensor) -> Moments:
    # In the triangle's own dtype, which Moments checks.
    scatter = upper.new_zeros(len(mean), len(mean))
    rows, columns = torch.triu_indices(len(mean), len(mean))
    scatter[rows, columns] = upper
    return Moments(count, mean, mirrored(scatter))

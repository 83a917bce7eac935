"""Statistics in a file: half of each symmetric matrix, and what weights they are of."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from reid.denoise.moments import Moments
from reid.denoise.outer import mirrored

KIND = "reid.denoise statistics 2"


def save_statistics(statistics: Mapping[str, Moments], path: str | Path, of: str = "") -> None:
    """Write statistics to a file, whole or not at all.

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
        torch.save({"kind": KIND, "of": of, "layers": layers}, part)
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
        ValueError: If it holds anything else, or statistics of other weights.
    """
    written, statistics = _read(path)
    if of and written and written != of:
        raise ValueError(
            f"{path} holds statistics of other weights, {written[:80]!r}, not {of!r}; gather them anew"
        )
    return statistics


def _read(path: str | Path) -> tuple[str, dict[str, Moments]]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if content["kind"] == KIND and isinstance(content["of"], str):
            return content["of"], {name: _moments(**parts) for name, parts in content["layers"].items()}
    # What torch raises on damaged files, and what comes of a file of another shape.
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
    ):
        pass
    raise ValueError(f"{path} holds no statistics of this version; gather them anew")


def _upper(matrix: Tensor) -> Tensor:
    """(d (d + 1) / 2,) the upper triangle, row by row."""
    rows, columns = torch.triu_indices(len(matrix), len(matrix))
    return matrix[rows, columns]


def _moments(count: int, mean: Tensor, upper: Tensor) -> Moments:
    scatter = mean.new_zeros(len(mean), len(mean))
    rows, columns = torch.triu_indices(len(mean), len(mean))
    scatter[rows, columns] = upper
    return Moments(count, mean, mirrored(scatter))

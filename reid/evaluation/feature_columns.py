"""Arrays as they come out of anyone's file, brought into the columns of a feature table or refused."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.data.records import UNKNOWN
from reid.evaluation.similarity import check_finite
from reid.utils import InputError

FLOAT_BYTES = (2, 4, 8)


def as_features(value: Any, at: str) -> Tensor:
    """Features (N, D) of float16, float32 or float64 as float32.

    Args:
        value: What the file holds.
        at: What a message calls it: file and name.

    Raises:
        InputError: If it is of another type or shape, has no rows or columns, or a row that no similarity
            can rank.
    """
    is_floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    if not is_floats or value.dtype.itemsize not in FLOAT_BYTES or value.ndim != 2 or 0 in value.shape:
        raise InputError(
            f"{at} must be a table of features (N, D) in float16, float32 or float64, of at least one row"
            f" and column, got {_kind(value)}; save the features of all images as one array"
        )
    with np.errstate(over="ignore"):  # what overflows is refused as such
        features = torch.from_numpy(np.ascontiguousarray(value, np.float32))
    check_finite(features, f"{at}:")
    return features


def as_numbers(value: Any, count: int, at: str) -> NDArray[np.int64]:
    """Identities or cameras as (N,) int64.

    Whole numbers of any integer type are taken, and of a float type that holds them exactly.

    Args:
        value: What the file holds; (N,), (N, 1) or (1, N).
        count: N, the number of feature rows.
        at: What a message calls it: file and name.

    Raises:
        InputError: If it is anything else, not of ``count`` numbers, or has a number below -1.
    """
    is_whole = isinstance(value, np.ndarray) and value.dtype.kind in "iuf"
    if is_whole and value.dtype.kind == "f":
        exact = 2.0 ** (np.finfo(value.dtype).nmant + 1)  # above it, whole numbers are not all told apart
        is_whole = bool((np.abs(value) <= exact).all() and (value % 1 == 0).all())
    if not is_whole:
        raise InputError(
            f"{at} must be whole numbers that their type holds exactly, one for each of the {count} feature"
            f" rows, got {_kind(value)}; save int64, {UNKNOWN} where unknown"
        )
    if value.shape not in ((count,), (count, 1), (1, count)):
        raise InputError(
            f"{at} must hold one number for each of the {count} feature rows, got shape {value.shape}; take"
            " features and labels from one extraction"
        )
    if value.min() < UNKNOWN or int(value.max()) > np.iinfo(np.int64).max:
        wrong = value.min() if value.min() < UNKNOWN else value.max()
        raise InputError(
            f"{at} must be {UNKNOWN} (unknown) or more, in 64 bits, got {wrong}; number them anew"
        )
    return value.reshape(-1).astype(np.int64)


def as_paths(value: Any, count: int, at: str) -> NDArray[np.str_]:
    """The images' files, (N,) texts.

    Raises:
        InputError: If it is anything else, or not of ``count`` texts.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind != "U" or value.shape != (count,):
        raise InputError(
            f"{at} must be {count} texts, one for each feature row, got {_kind(value)}; save them as"
            " np.array(paths, str)"
        )
    return value


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return "another thing" if value is None else type(value).__name__

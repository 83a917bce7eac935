"""Read a file of weights safely: what torch.save wrote, nothing that could run code."""

import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid.utils import InputError

# What torch.load raises for files that are cut short, damaged or of another kind.
UNREADABLE = (
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    OSError,
    struct.error,
)

WRAPPERS = ("state_dict", "model", "teacher")


def read_file(path: Path) -> Any:
    """Read what ``torch.save`` wrote, refusing anything that could run code.

    Raises:
        InputError: If the file is missing, cut short, of another kind, or a pickle with code.
    """
    if not path.is_file():
        raise InputError(f"weights not found: {path} does not exist")
    try:
        with warnings.catch_warnings():
            # A foreign pickle is refused below in one line; torch's remark on its protocol adds nothing.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is refused: it is no plain file of tensors, and loading it could run code; save its"
            " state_dict alone"
        ) from error
    except UNREADABLE as error:
        raise InputError(
            f"{path} is no readable file of weights: {' '.join(str(error).split())[:200]}"
        ) from error


def state_dict_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The flat state dict inside the wrappers and prefixes of this field, without ``module.``.

    Raises:
        InputError: If there is none.
    """
    for name in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a state dict, got {type(content).__name__}")
    tensors = {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}
    if not tensors:
        raise InputError(f"{path} must hold a state dict, got a dictionary without tensors")
    return tensors


def has_header(content: Any) -> bool:
    """Whether what a file held is a checkpoint of this toolkit."""
    return isinstance(content, dict) and isinstance(content.get("header"), str)


def count_classes(tensors: dict[str, Tensor]) -> int:
    """How many training identities the classifier in a state dict has; 0 where there is none."""
    weight = tensors.get("classifier.weight")
    return 0 if weight is None or weight.ndim != 2 else len(weight)

"""A foreign file of weights to its flat state dict."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid.models.read import UNREADABLE, has_header, read_file, state_dict_in
from reid.utils import InputError


def read_weights(path: Path, allow_unsafe: bool = False) -> dict[str, Tensor]:
    """The tensors in a file by name, out of the wrappers of this field and without ``module.``.

    Args:
        path: What ``torch.save`` wrote.
        allow_unsafe: Also unpickle other objects. That runs whatever code the file contains.

    Raises:
        InputError: If the file is missing, cut short, a web page, no state dict, already a checkpoint of this
            toolkit, or holds other objects and that is not allowed.
    """
    if path.is_file() and _starts_like_a_web_page(path):
        raise InputError(f"{path} is a web page, not weights; download the file itself")
    content = _unpickle(path) if allow_unsafe else _read_safely(path)
    if has_header(content):
        raise InputError(f"{path} is a checkpoint of this toolkit already; use it as it is")
    return state_dict_in(content, path)


def _starts_like_a_web_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == b"<"


def _read_safely(path: Path) -> Any:
    try:
        return read_file(path)
    except InputError as error:
        if isinstance(error.__cause__, pickle.UnpicklingError):
            raise InputError(f"{error}, or read it with --allow-unsafe if you trust its source") from error
        raise


def _unpickle(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"weights not found: {path} does not exist")
    try:
        with warnings.catch_warnings():
            # What an old pickle complains of is of no use to who opens it once.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=False)
    except (*UNREADABLE, ImportError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path} is no readable file of weights: {' '.join(str(error).split())[:200]}"
        ) from error

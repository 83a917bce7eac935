"""A foreign file of weights to its flat state dict."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reid.models.file_kind import file_kind
from reid.models.read import has_header, read_file, state_dict_in, unreadable
from reid.utils import InputError


def read_weights(path: Path, allow_unsafe: bool = False) -> dict[str, Tensor]:
    """The tensors in a file by name, in its own dtypes, out of this field's wrappers and without ``module.``.

    Args:
        path: Safetensors, or what ``torch.save`` wrote.
        allow_unsafe: Also read TorchScript archives, and unpickle other objects. That runs whatever code the
            file contains.

    Raises:
        InputError: If :func:`read_file` refuses the file and that is not allowed for, if it holds no state
            dict, or is already a checkpoint of this toolkit.
    """
    content = _read_unsafely(path) if allow_unsafe else read_file(path)
    if has_header(content):
        raise InputError(f"{path} is a checkpoint of this toolkit already; use it as it is")
    return state_dict_in(content, path)


def _read_unsafely(path: Path) -> Any:
    kind = file_kind(path)
    if kind == "safetensors":
        return read_file(path)
    try:
        with warnings.catch_warnings():
            # What an old file complains of is of no use to who opens it once.
            warnings.simplefilter("ignore")
            if kind == "torchscript":
                return torch.jit.load(path, map_location="cpu").state_dict()
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=False)
    except Exception as error:  # it is the file's own code that ran, and raises what it likes
        raise unreadable(path, error) from error

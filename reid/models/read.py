"""Read a file of weights safely: safetensors or what torch.save wrote, nothing that could run code."""

import pickle
import reprlib
import warnings
from numbers import Number
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from reid.models.file_kind import file_kind, is_of_torch, is_whole_pickle
from reid.utils import UNREADABLE, InputError

WRAPPERS = ("state_dict", "model", "teacher")
# What a state dict may hold beside its tensors: a count, a note, a version.
BESIDE_TENSORS = (Number, str, dict, type(None))
OTHER_KIND = "it is cut short or of another kind; fetch it again"
CONVERT = "convert it with tools/import_weights.py --allow-unsafe if you trust its source"


def read_file(path: Path) -> Any:
    """Read safetensors or what ``torch.save`` wrote, refusing anything that could run code.

    Returns:
        What the file holds. Of safetensors a flat dictionary of tensors; with a header of this toolkit the
        same that our other form holds, ``{"header": text, "state_dict": tensors}``.

    Raises:
        InputError: If the file is missing, cut short, of another kind (:func:`file_kind`), a TorchScript
            archive, or a pickle with code.
    """
    kind = file_kind(path)
    if kind == "torchscript":
        raise InputError(
            f"{path} is refused: it is a TorchScript archive, and loading it could run code; {CONVERT}"
        )
    try:
        if kind == "safetensors":
            return _read_safetensors(path)
        with warnings.catch_warnings():
            # On protocols, sparse and quantized tensors: all are refused in one line, here or by their key.
            warnings.simplefilter("ignore")
            # An open file: of a path torch would take the ending for the kind.
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not is_whole_pickle(path):
            raise unreadable(path, OTHER_KIND) from error
        raise InputError(
            f"{path} is refused: it is no plain file of tensors, and loading it could run code; save its"
            f" state_dict alone, or {CONVERT}"
        ) from error
    except (*UNREADABLE, SafetensorError) as error:
        # Of a file that is not torch's own at all, torch's words on what stopped it tell nothing.
        is_told = kind == "safetensors" or isinstance(error, OSError | MemoryError) or is_of_torch(path)
        raise unreadable(path, error if is_told else OTHER_KIND) from error


def unreadable(path: Path, reason: object) -> InputError:
    """What a file that no reader understands is refused with, in one line."""
    words = " ".join(str(reason).split()) or type(reason).__name__
    return InputError(f"{path} is no readable file of weights: {words[:200]}")


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, it is no mapping
        header = (file.metadata() or {}).get("header")
    return tensors if header is None else {"header": header, "state_dict": tensors}


def state_dict_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The flat state dict inside the wrappers and prefixes of this field, without ``module.``.

    Numbers and texts beside the tensors are left out.

    Raises:
        InputError: If there is none, a name comes twice, or what is named as a parameter is of another type.
    """
    for _ in WRAPPERS:  # in any order, each once at most
        inner = next((name for name in WRAPPERS if _holds_dict(content, name)), None)
        content = content if inner is None else content[inner]
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a state dict, got {type(content).__name__}")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = str(key).removeprefix("module.")
        if isinstance(value, Tensor):
            if name in tensors:
                raise InputError(
                    f"{path} must hold every name once, {name!r} comes twice (a module. before it does not"
                    " count); save one of them"
                )
            tensors[name] = value
        elif "." in name and not isinstance(value, BESIDE_TENSORS):
            raise InputError(f"{path}: {name!r} must be a tensor, got {type(value).__name__}; save it as one")
    if not tensors:
        keys = f" but with {reprlib.repr(list(content))}; save its state dict alone" if content else ""
        raise InputError(f"{path} must hold a state dict, got a dictionary without tensors{keys}")
    return tensors


def _holds_dict(content: Any, name: str) -> bool:
    return isinstance(content, dict) and isinstance(content.get(name), dict)


def has_header(content: Any) -> bool:
    """Whether what a file held is a checkpoint of this toolkit."""
    return isinstance(content, dict) and isinstance(content.get("header"), str)


def count_classes(tensors: dict[str, Tensor]) -> int:
    """How many training identities the classifier in a state dict has; 0 where there is none."""
    weight = tensors.get("classifier.weight")
    return 0 if weight is None or weight.ndim != 2 else len(weight)

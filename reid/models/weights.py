"""Load tensors into a model whose keys and shapes they have, refusing what is no finite number."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reid.utils import InputError

WHOLE_NUMBERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def load_strictly(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Load ``state``, whose keys and shapes must be exactly the model's, and whose values are numbers.

    A floating entry may be of any floating type; a counter must be of whole numbers.

    Raises:
        InputError: Naming the first key that is missing, unexpected, no dense tensor of the right kind and
            shape, not finite in the model's type, or a negative variance.
    """
    wanted = model.state_dict()
    faults = _missing(state, wanted)
    faults += [f"{key} is unexpected" for key in state if key not in wanted]
    faults += _value_faults({key: state[key] for key in wanted if key in state}, wanted)
    _refuse(path, faults + _shape_faults(state, wanted))
    model.load_state_dict(state, strict=True)


def refuse_shapes(path: Path, state: dict[str, Any], wanted: dict[str, Tensor]) -> None:
    """Refuse a state dict that lacks a wanted key or has it in another shape; ``wanted`` need hold no values.

    Raises:
        InputError: Naming the first such key.
    """
    _refuse(path, _missing(state, wanted) + _shape_faults(state, wanted))


def _missing(state: dict[str, Any], wanted: dict[str, Tensor]) -> list[str]:
    return [f"{key} is missing" for key in wanted if key not in state]


def _shape_faults(state: dict[str, Any], wanted: dict[str, Tensor]) -> list[str]:
    pairs = ((key, state[key], tensor) for key, tensor in wanted.items() if key in state)
    return [
        f"{key} must have shape {tuple(tensor.shape)}, got {tuple(value.shape)}"
        for key, value, tensor in pairs
        if isinstance(value, Tensor) and value.shape != tensor.shape
    ]


def refuse_values(path: Path, values: dict[str, Any], wanted: dict[str, Tensor]) -> None:
    """Refuse entries that are no dense, finite numbers of the kind that the model keeps, in any shape.

    A running variance must be at least 0: the features would be no numbers.

    Raises:
        InputError: Naming the first that is not.
    """
    _refuse(path, _value_faults(values, wanted))


def _value_faults(values: dict[str, Any], wanted: dict[str, Tensor]) -> list[str]:
    faults = ((key, _value_fault(key, value, wanted[key].dtype)) for key, value in values.items())
    return [f"{key} {fault}" for key, fault in faults if fault]


def _value_fault(key: str, value: Any, dtype: torch.dtype) -> str:
    """What is wrong with one entry that the model keeps as ``dtype``; empty if nothing is."""
    if not isinstance(value, Tensor):
        return f"must be a tensor, got {type(value).__name__}"
    if value.layout is not torch.strided or value.is_meta:
        return f"must be a dense tensor, got {'one without values' if value.is_meta else value.layout}"
    if not (value.is_floating_point() if dtype.is_floating_point else value.dtype in WHOLE_NUMBERS):
        kind = "floating-point" if dtype.is_floating_point else "whole"
        return f"must hold {kind} numbers, got {value.dtype}"
    # In the model's type: a large float64 is an infinity in float32.
    bad = int((~value.to(dtype).isfinite()).sum())
    if bad:
        return f"must be finite in {dtype}, {bad} of {value.numel()} numbers are not"
    negative = int((value < 0).sum()) if key.endswith("running_var") else 0
    return f"must be at least 0, {negative} of {value.numel()} numbers are negative" if negative else ""


def _refuse(path: Path, faults: list[str]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{path} does not fit the model: {faults[0]}{more}")

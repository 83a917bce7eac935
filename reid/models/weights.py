"""Load tensors into a model, accounting for every key."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reid.models.backbone import patch_grid
from reid.models.position import resize_position_embedding
from reid.models.read import read_file, state_dict_in
from reid.models.reid_model import ReIDModel
from reid.utils import InputError

logger = logging.getLogger(__name__)

WHOLE_NUMBERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# Names in front of a backbone's keys in the files of this field.
BACKBONE_PREFIXES = ("backbone.", "base.")
# Parts of a pre-training that a re-identification model has no place for.
PRETRAINING_HEADS = ("head.", "head_dist.", "fc.", "pre_logits.", "dist_token")


@dataclass
class LoadReport:
    """What became of every key of a file, and of every key of the model.

    Args:
        loaded: Keys taken over as they are.
        resized: Position embeddings brought to this model's grid.
        dropped: Keys of the file that the model has no use for: another task's head, another set's classes.
        fresh: Keys of the model that the file does not have and that may start anew.
    """

    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """One line with the counts, and the names wherever something was not simply taken over."""
        parts = [f"{len(self.loaded)} loaded"]
        for kind in ("resized", "dropped", "fresh"):
            names = getattr(self, kind)
            parts.append(f"{len(names)} {kind}" + (f" ({', '.join(names)})" if names else ""))
        return "; ".join(parts)


def load_pretrained(model: ReIDModel, path: Path, hw_ratio: int = 1) -> LoadReport:
    """Start ``model`` from a file: a pre-trained backbone, or a whole model of this toolkit or TransReID's.

    The backbone must be complete. Position embeddings are resized. The neck and the classifier are taken
    where the file has them in the right shape, and start anew otherwise.

    Args:
        model: Changed in place, and only if all is well.
        path: A file of tensors.
        hw_ratio: Height over width of the pre-training's patch grid.

    Returns:
        What became of every key; also logged.

    Raises:
        InputError: If the file cannot be read, lacks a backbone key, or has one of another shape.
    """
    return load_tensors(model, state_dict_in(read_file(path), path), path, hw_ratio)


def load_tensors(model: ReIDModel, tensors: dict[str, Tensor], path: Path, hw_ratio: int = 1) -> LoadReport:
    """Start ``model`` from what :func:`state_dict_in` found in ``path``; see :func:`load_pretrained`.

    Raises:
        InputError: If ``tensors`` lack a backbone key, or have one that does not fit.
    """
    tensors = _rename(tensors)
    report, wanted, state = LoadReport(), model.state_dict(), {}
    for key, tensor in tensors.items():
        if key == "backbone.pos_embed" and key in wanted and tensor.shape != wanted[key].shape:
            _refuse(path, _value_faults({key: tensor}, wanted))
            state[key] = _resize(tensor, model.backbone, hw_ratio)
            report.resized.append(key)
        elif key in wanted and (tensor.shape == wanted[key].shape or key.startswith("backbone.")):
            state[key] = tensor
            report.loaded.append(key)
        else:
            report.dropped.append(key)
    report.fresh = [key for key in wanted if key not in state]
    missing = [key for key in report.fresh if key.startswith("backbone.")]
    if missing:
        raise InputError(
            f"{path} is no {model.spec.name}: {len(missing)} backbone keys are missing, such as {missing[0]}"
            f" (the file has {len(tensors)} keys, such as {next(iter(tensors))})"
        )
    load_strictly(model, state | {key: wanted[key] for key in report.fresh}, path)
    logger.info("%s: %s", path, report.describe())
    return report


def load_strictly(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Load ``state``, whose keys and shapes must be exactly the model's, and whose values are numbers.

    A floating entry may be of any floating type; a counter must be of whole numbers.

    Raises:
        InputError: Naming the first key that is missing, unexpected, no dense tensor of the right kind and
            shape, or not finite in the model's type.
    """
    wanted = model.state_dict()
    faults = [f"{key} is missing" for key in wanted if key not in state]
    faults += [f"{key} is unexpected" for key in state if key not in wanted]
    values = {key: state[key] for key in wanted if key in state}
    faults += _value_faults(values, wanted)
    faults += [
        f"{key} must have shape {tuple(wanted[key].shape)}, got {tuple(value.shape)}"
        for key, value in values.items()
        if isinstance(value, Tensor) and value.shape != wanted[key].shape
    ]
    _refuse(path, faults)
    model.load_state_dict(state, strict=True)


def _value_faults(values: dict[str, Any], wanted: dict[str, Tensor]) -> list[str]:
    faults = ((key, _value_fault(value, wanted[key].dtype)) for key, value in values.items())
    return [f"{key} {fault}" for key, fault in faults if fault]


def _value_fault(value: Any, dtype: torch.dtype) -> str:
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
    return f"must be finite in {dtype}, {bad} of {value.numel()} numbers are not" if bad else ""


def _refuse(path: Path, faults: list[str]) -> None:
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{path} does not fit the model: {faults[0]}{more}")


def _rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names for the keys of a file: ``backbone.``, ``neck.``, ``classifier.``; heads keep theirs."""
    prefix = next((p for p in BACKBONE_PREFIXES if any(key.startswith(p) for key in tensors)), None)
    renamed = {}
    for key, tensor in tensors.items():
        if prefix is not None and key.startswith(prefix):
            name = key.removeprefix(prefix)
            renamed[name if name.startswith(PRETRAINING_HEADS) else f"backbone.{name}"] = tensor
        elif key.startswith("bottleneck."):
            renamed[key.replace("bottleneck.", "neck.", 1)] = tensor
        elif prefix is not None or key.startswith(PRETRAINING_HEADS):
            renamed[key] = tensor
        else:
            renamed[f"backbone.{key}"] = tensor
    return renamed


def _resize(tensor: Tensor, backbone: nn.Module, hw_ratio: int) -> Tensor:
    grid = patch_grid(backbone)
    assert grid is not None  # only vision transformers have position embeddings
    return resize_position_embedding(tensor, grid, int(backbone.num_prefix_tokens), hw_ratio)  # type: ignore[arg-type]

"""Optimizers over named parameters, with TransReID's rule for biases."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerSpec:
    """How parameters are stepped.

    Args:
        name: ``SGD`` or ``AdamW``.
        peak_lr: Learning rate that the schedule scales.
        weight_decay: Of everything but biases.
        bias_lr_factor: Factor on the rate of biases.
        bias_weight_decay: Of biases.
        momentum: Of SGD.
    """

    name: str
    peak_lr: float
    weight_decay: float = 0.0
    bias_lr_factor: float = 1.0
    bias_weight_decay: float = 0.0
    momentum: float = 0.9


def create_optimizer(
    spec: OptimizerSpec, parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """An optimizer over ``parameters``, in two groups: biases (by name) and the rest.

    Each group carries its ``peak_lr`` for the schedule.

    Raises:
        ValueError: If there are no parameters, or the name is unknown.
    """
    named = list(parameters)
    biases = [p for name, p in named if name.rpartition(".")[2] == "bias"]
    others = [p for name, p in named if name.rpartition(".")[2] != "bias"]
    rates = (spec.peak_lr, spec.peak_lr * spec.bias_lr_factor)
    decays = (spec.weight_decay, spec.bias_weight_decay)
    groups = [
        {"params": params, "lr": lr, "peak_lr": lr, "weight_decay": decay}
        for params, lr, decay in zip((others, biases), rates, decays, strict=True)
        if params
    ]
    if not groups:
        raise ValueError("there is nothing to train: no parameter is left")
    if spec.name == "SGD":
        return torch.optim.SGD(groups, momentum=spec.momentum)
    if spec.name == "AdamW":
        return torch.optim.AdamW(groups)
    raise ValueError(f"the optimizer must be SGD or AdamW, got '{spec.name}'")

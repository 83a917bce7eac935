"""Optimizers over named parameters, with TransReID's rules for biases and classifiers."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

# Factor on the rate of classifiers where it is raised.
LARGE_CLASSIFIER_FACTOR = 2


@dataclass(frozen=True)
class OptimizerSpec:
    """How parameters are stepped.

    Args:
        name: ``SGD``, ``Adam`` (the decay is added to the gradient) or ``AdamW`` (it is not).
        peak_lr: Learning rate that the schedule rises to.
        weight_decay: Of everything but biases: position embeddings, class tokens and norms too.
        bias_lr_factor: Factor on the rate of biases.
        bias_weight_decay: Of biases.
        momentum: Of SGD.
        large_classifier_lr: Whether classifiers have twice ``peak_lr``.
    """

    name: str
    peak_lr: float
    weight_decay: float = 0.0
    bias_lr_factor: float = 1.0
    bias_weight_decay: float = 0.0
    momentum: float = 0.9
    large_classifier_lr: bool = False


def create_optimizer(
    spec: OptimizerSpec, parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """An optimizer over ``parameters``, with a group for biases and one for the rest.

    A parameter is a bias if its name contains ``bias``, and a classifier's if it contains ``classifier``, as
    in TransReID and the projects that descend from it. Classifiers of twice the rate are groups of their own,
    their biases too. Each group carries its ``peak_lr`` for the schedule.

    Raises:
        ValueError: If there are no parameters, or the name is unknown.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        kind = (spec.large_classifier_lr and "classifier" in name, "bias" in name)
        groups.setdefault(kind, []).append(parameter)
    if not groups:
        raise ValueError("there is nothing to train: no parameter is left")
    columns = []
    for (is_classifier, is_bias), params in sorted(groups.items(), key=lambda group: group[0]):
        factor = LARGE_CLASSIFIER_FACTOR if is_classifier else spec.bias_lr_factor if is_bias else 1
        lr, decay = spec.peak_lr * factor, spec.bias_weight_decay if is_bias else spec.weight_decay
        columns.append({"params": params, "lr": lr, "peak_lr": lr, "weight_decay": decay})
    if spec.name == "SGD":
        return torch.optim.SGD(columns, momentum=spec.momentum)
    if spec.name == "Adam":
        return torch.optim.Adam(columns, fused=True)
    if spec.name == "AdamW":
        return torch.optim.AdamW(columns, fused=True)
    raise ValueError(f"the optimizer must be SGD, Adam or AdamW, got '{spec.name}'")

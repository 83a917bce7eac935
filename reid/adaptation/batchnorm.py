"""Re-estimate BatchNorm statistics on unlabelled images: what a layer calls usual becomes what it sees here.

Source: Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016 (AdaBN).
"""

import copy
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from reid.utils import InputError

M = TypeVar("M", bound=nn.Module)


def has_batchnorm(model: nn.Module) -> bool:
    """Whether any BatchNorm of the model keeps running statistics."""
    return bool(_layers(model))


@torch.no_grad()
def reestimate_batchnorm(model: M, batches: Iterable[Tensor]) -> M:
    """A copy whose running statistics are the averages over ``batches``, each batch counting alike.

    While they are gathered, a BatchNorm normalises by its batch, and the rest of the model is in eval mode.

    Args:
        model: Any model; it stays as it was.
        batches: Images (B, 3, H, W), where the model is; a batch of one image is left out, since it has no
            variance where a layer sees one value a channel.

    Returns:
        The copy, in the mode of ``model``.

    Raises:
        InputError: If the model keeps no statistics, or no batch has two images.
    """
    model, was_training = copy.deepcopy(model), model.training
    layers = _layers(model)
    if not layers:
        raise InputError(
            "the model has no BatchNorm with running statistics: there is nothing to re-estimate"
        )
    model.eval()
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative average
        layer.train()
    count = 0
    for images in batches:
        if len(images) > 1:
            model(images)
            count += 1
    if count == 0:
        raise InputError("re-estimating BatchNorm needs a batch of at least two images, got none")
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model.train(was_training)


def _layers(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]

"""The loss of one batch in each phase."""

from typing import NamedTuple

import torch
from torch import Tensor

from reid.denoise import collect_denoise_loss
from reid.engine.phases import Phase
from reid.losses import IdentityTripletLoss, Loss
from reid.models import ReIDModel, ReIDOutput


class DenoiseWeight(NamedTuple):
    """How the denoising loss enters the sum.

    Args:
        kind: ``l1``, ``l2`` or ``l1+l2``.
        weight: lambda in (1 - lambda) L_label + lambda L_denoise, in [0, 1].
    """

    kind: str = "l1"
    weight: float = 0.5


def compute_loss(
    model: ReIDModel,
    images: Tensor,
    labels: Tensor,
    phase: Phase,
    criterion: IdentityTripletLoss,
    denoise: DenoiseWeight,
) -> Loss:
    """The loss to differentiate in ``phase``.

        baseline:    L_label
        label_free:  L_denoise; the network runs without a graph
        denoisers:   (1 - lambda) L_label + lambda L_denoise, through the denoised layers
        backbone:    (1 - lambda) L_label, through the denoised layers; L_denoise is a constant here, because
                     its only parameters are frozen and the features it sees are taken as they are

    Args:
        model: Already switched to the phase.
        images: (B, 3, H, W).
        labels: (B,) class numbers; not read in a phase without labels.
        phase: What is trained, and from which losses.
        criterion: L_label.
        denoise: Kind of L_denoise, and lambda.

    Source: Xu et al., NeurIPS 2024, Eq. 11 and 12.
    """
    if not phase.uses_labels:
        with collect_denoise_loss(model, denoise.kind) as losses, torch.no_grad():
            model.embed(images)
        return Loss(losses.total, {"denoise": losses.total})
    if not phase.trains_denoisers:
        label = _label_loss(model(images), labels, criterion)
        factor = 1.0 if phase.name == "baseline" else 1 - denoise.weight
        return Loss(factor * label.total, label.parts)
    with collect_denoise_loss(model, denoise.kind) as losses:
        output = model(images)
    label = _label_loss(output, labels, criterion)
    total = (1 - denoise.weight) * label.total + denoise.weight * losses.total
    return Loss(total, label.parts | {"denoise": losses.total})


def _label_loss(output: ReIDOutput, labels: Tensor, criterion: IdentityTripletLoss) -> Loss:
    return criterion(output.feat, output.logits, labels)

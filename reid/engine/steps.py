"""The loss of one batch in each phase."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reid.data import Batch
from reid.denoise import collect_denoise_loss
from reid.engine.distributed import ALONE, World
from reid.engine.phases import Phase
from reid.engine.side import knows_cameras_of, side_inputs
from reid.losses import BranchTerm, IdentityTripletLoss, Loss
from reid.losses.contrast import image_to_text_loss
from reid.models import ReIDModel
from reid.models.backbones import PROJECTED


class TextTarget(NamedTuple):
    """Texts that CLIP's projected image features are drawn to (CLIP-ReID's second stage).

    Args:
        features: (C, D) one text a training identity; constants.
        weight: Of the image-to-text loss in L_label.
    """

    features: Tensor
    weight: float


class LabelLoss(NamedTuple):
    """L_label: what is learned from identities.

    Args:
        criterion: Identity and triplet loss.
        text: The image-to-text loss beside them; None without.
    """

    criterion: IdentityTripletLoss
    text: TextTarget | None = None


class DenoiseWeight(NamedTuple):
    """How the denoising loss enters the sum.

    Args:
        kind: ``l1``, ``l2`` or ``l1+l2``.
        weight: lambda in (1 - lambda) L_label + lambda L_denoise, in [0, 1].
        share: Of each layer's positions, in (0, 1].
    """

    kind: str = "l2"
    weight: float = 0.5
    share: float = 1.0


def compute_loss(
    model: ReIDModel,
    batch: Batch,
    phase: Phase,
    label_loss: LabelLoss,
    denoise: DenoiseWeight,
    dataset: str = "",
    world: World = ALONE,
    generator: torch.Generator | None = None,
) -> Loss:
    """The loss to differentiate in ``phase``.

        baseline:    L_label
        label_free:  L_denoise, of the plain network's features, which runs without a graph
        denoisers:   (1 - lambda) L_label + lambda L_denoise, through the denoised layers
        joint:       the same, and the backbone is trained too
        backbone:    (1 - lambda) L_label, through the denoised layers; L_denoise is a constant here, because
                     its only parameters are frozen and the features it sees are taken as they are

    Args:
        model: Already switched to the phase.
        batch: On the model's device; its pids are class numbers, not read in a phase without labels.
        phase: What is trained, and from which losses.
        label_loss: L_label.
        denoise: Kind of L_denoise, and lambda.
        dataset: Whose images they are: a model with side information is given their cameras and views only
            where its table is of them.
        world: The processes that share a batch: L_label is that of the joined batch, on each of them, with
            its triplets and its necks' statistics; L_denoise is that of the own part.
        generator: Draws the noise of L_denoise, on the model's device; torch's own by default.

    Source: Xu et al., NeurIPS 2024, Eq. 11 and 12.
    """
    sides = side_inputs(batch, knows_cameras_of(model.spec.side, dataset))
    if not phase.uses_labels:
        collected = collect_denoise_loss(model, denoise.kind, generator, denoise.share, plain=True)
        with collected as losses, torch.no_grad():
            model.embed(batch.images, *sides)
        return Loss(losses.total, {"denoise": losses.total})
    if not phase.trains_denoisers:
        label = _label_loss(model, model.features(batch.images, *sides), batch.pids, label_loss, world)
        factor = 1.0 if phase.name == "baseline" else 1 - denoise.weight
        return Loss(factor * label.total, label.parts)
    with collect_denoise_loss(model, denoise.kind, generator, denoise.share) as losses:
        feats = model.features(batch.images, *sides)
    label = _label_loss(model, feats, batch.pids, label_loss, world)
    total = (1 - denoise.weight) * label.total + denoise.weight * losses.total
    return Loss(total, label.parts | {"denoise": losses.total})


class LossStep(nn.Module):
    """:func:`compute_loss` of one phase as a module, which DistributedDataParallel can wrap.

    Args:
        model: Already switched to the phase.
        options: The arguments of :func:`compute_loss` behind the batch.
    """

    def __init__(self, model: ReIDModel, *options: Any) -> None:
        super().__init__()
        self.model, self.options = model, options

    def forward(self, batch: Batch) -> Loss:
        """The loss of a batch."""
        return compute_loss(self.model, batch, *self.options)


def _label_loss(
    model: ReIDModel, feats: tuple[Tensor, ...], labels: Tensor, label_loss: LabelLoss, world: World
) -> Loss:
    labels = world.gather(labels)
    output = model.classify(tuple(world.gather(feat) for feat in feats))
    terms = [
        BranchTerm(out.feat, out.logits, branch.id_weight, branch.triplet_weight)
        for out, branch in zip(output.branches, model.branches, strict=True)
    ]
    loss = label_loss.criterion.over(terms, labels)
    if label_loss.text is None:
        return loss
    texts = label_loss.text.features.to(output.feat.device)
    projected = output.branches[PROJECTED].feat
    part = image_to_text_loss(projected, texts, labels, label_loss.criterion.smoothing)
    return Loss(loss.total + label_loss.text.weight * part, loss.parts | {"image_text": part})

"""The training loss with labels: a weighted sum with named parts."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reid.losses.triplet import batch_hard_triplet

LABEL_SMOOTHING = 0.1


class Loss(NamedTuple):
    """A loss and what it is made of.

    Args:
        total: Scalar to differentiate.
        parts: Unweighted parts by name.
    """

    total: Tensor
    parts: dict[str, Tensor]


class IdentityTripletLoss:
    """L_label = w_id CE(logits) + w_triplet Triplet(feat).

    The cross-entropy smooths labels as (1 - e) y + e / C with e = 0.1 where asked (Szegedy et al., CVPR
    2016).

    Args:
        id_weight: w_id; 0 leaves the identity loss out.
        triplet_weight: w_triplet; 0 leaves the triplet loss out.
        margin: The triplet margin; None takes the soft margin.
        smooth_labels: Whether labels are smoothed.

    Raises:
        ValueError: If both weights are 0.
    """

    def __init__(
        self,
        id_weight: float = 1.0,
        triplet_weight: float = 1.0,
        margin: float | None = None,
        smooth_labels: bool = False,
    ) -> None:
        if not id_weight and not triplet_weight:
            raise ValueError("at least one of the identity and the triplet loss needs a weight")
        self.id_weight, self.triplet_weight, self.margin = id_weight, triplet_weight, margin
        self.smoothing = LABEL_SMOOTHING if smooth_labels else 0.0

    def __call__(self, feat: Tensor, logits: Tensor, labels: Tensor) -> Loss:
        """The loss of features (B, D) before the neck and logits (B, C) for labels (B,) in 0..C-1."""
        parts, weights = {}, {"id": self.id_weight, "triplet": self.triplet_weight}
        if self.id_weight:
            parts["id"] = F.cross_entropy(logits.float(), labels, label_smoothing=self.smoothing)
        if self.triplet_weight:
            parts["triplet"] = batch_hard_triplet(feat, labels, self.margin)
        return Loss(torch.stack([weights[name] * part for name, part in parts.items()]).sum(), parts)

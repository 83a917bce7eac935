"""The training loss with labels: a weighted sum with named parts."""

from collections.abc import Iterable, Sequence
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


class BranchTerm(NamedTuple):
    """One feature of a batch in the loss.

    Args:
        feat: (B, D) before the neck.
        logits: (B, C) class scores; None where the branch has no classifier.
        id_weight: Of its cross-entropy among the branches.
        triplet_weight: Of its triplet loss among the branches.
    """

    feat: Tensor
    logits: Tensor | None
    id_weight: float = 1.0
    triplet_weight: float = 1.0


class IdentityTripletLoss:
    """L_label = w_id sum_k v_k CE(logits_k) + w_triplet sum_k u_k Triplet(feat_k), k over the branches.

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
        return self.over([BranchTerm(feat, logits)], labels)

    def over(self, terms: Sequence[BranchTerm], labels: Tensor) -> Loss:
        """The loss over several branches; the parts are the weighted sums over them.

        Args:
            terms: Features and class scores, branch by branch.
            labels: (B,) in 0..C-1.
        """
        parts, weights = {}, {"id": self.id_weight, "triplet": self.triplet_weight}
        if self.id_weight:
            parts["id"] = _sum(
                term.id_weight * self._cross_entropy(term.logits, labels)
                for term in terms
                if term.logits is not None
            )
        if self.triplet_weight:
            parts["triplet"] = _sum(
                term.triplet_weight * batch_hard_triplet(term.feat, labels, self.margin) for term in terms
            )
        return Loss(torch.stack([weights[name] * part for name, part in parts.items()]).sum(), parts)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.smoothing)


def _sum(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()

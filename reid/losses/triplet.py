"""Batch-hard triplet loss, in float32 whatever the autocast."""

import torch
from torch import Tensor
from torch.nn import functional as F


def batch_hard_triplet(feats: Tensor, labels: Tensor, margin: float | None = None) -> Tensor:
    """Pull each image to its farthest positive and push it from its nearest negative.

        d_ap = max over other images of the same identity,  d_an = min over other identities
        soft margin:  mean log(1 + exp(d_ap - d_an))
        margin m:     mean max(0, d_ap - d_an + m)

    Distances are Euclidean, not squared, computed in float32 at least: in float16 close pairs collapse. An
    anchor without a positive or without a negative is left out, so identities may have any number of images;
    where none is left (one identity only, or one image each) the loss is 0.

    Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017.

    Args:
        feats: (B, D) features before the neck, not normalised.
        labels: (B,) identities.
        margin: m; None takes the soft margin.

    Returns:
        A scalar; NaN where ``feats`` holds one.

    Raises:
        ValueError: If the shapes do not match.
    """
    if feats.ndim != 2 or labels.shape != feats.shape[:1]:
        raise ValueError(
            f"feats must be (B, D) and labels (B,), got {tuple(feats.shape)}, {tuple(labels.shape)}"
        )
    with torch.autocast(feats.device.type, enabled=False):
        feats = feats.to(torch.promote_types(feats.dtype, torch.float32))
        # Exact differences: the expanded form |x|^2 + |y|^2 - 2xy cancels where pairs are close.
        dist = torch.cdist(feats, feats, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B)
        same = labels[:, None] == labels[None, :]
        other = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        dist_ap = dist.masked_fill(~(same & other), -torch.inf).amax(1)
        dist_an = dist.masked_fill(same, torch.inf).amin(1)
        valid = (same & other).any(1) & ~same.all(1)
        # Infinities of anchors left out must not reach the gradient.
        gap = (dist_ap - dist_an)[valid]
        if not valid.any():
            return feats.sum() * 0
        return F.softplus(gap).mean() if margin is None else F.relu(gap + margin).mean()

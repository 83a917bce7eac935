"""Losses between images and texts, in float32 whatever the autocast."""

import torch
from torch import Tensor
from torch.nn import functional as F


def supervised_contrast(anchors: Tensor, targets: Tensor, anchor_ids: Tensor, target_ids: Tensor) -> Tensor:
    """Let each anchor pick the targets of its identity out of all targets.

        L = -mean_a (1 / |P(a)|) sum_{p in P(a)} log( exp(a·p) / sum_b exp(a·b) )
        P(a): the targets of a's identity;  b: all targets

    Features are not normalised and the temperature is 1. An anchor without a target of its identity is left
    out; where none is left the loss is 0.

    Source: Li, Sun, Li, "CLIP-ReID", AAAI 2023; both directions together are its first stage's loss.

    Args:
        anchors: (A, D) features.
        targets: (B, D) features.
        anchor_ids: (A,) identities.
        target_ids: (B,) identities.

    Returns:
        A scalar; NaN where a target is NaN.

    Raises:
        ValueError: If the shapes do not match.
    """
    _check_rows("anchors", anchors, anchor_ids)
    _check_rows("targets", targets, target_ids)
    _check_widths("anchors", anchors, "targets", targets)
    with torch.autocast(anchors.device.type, enabled=False):
        log_probs = F.log_softmax(_wide(anchors) @ _wide(targets).T, dim=1)  # (A, B)
        is_positive = anchor_ids[:, None] == target_ids[None, :]
        counts = is_positive.sum(1)
        picked = log_probs.masked_fill(~is_positive, 0).sum(1) / counts.clamp(min=1)
        return -picked.sum() / (counts > 0).sum().clamp(min=1)


def image_to_text_loss(
    feats: Tensor, text_features: Tensor, labels: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Classify images by the texts of all identities, the classifier's weights being the texts.

        L = CE(feats @ text_features^T, labels)

    The cross-entropy smooths labels as (1 - e) y + e / K, e being ``smoothing``.

    Source: Li, Sun, Li, "CLIP-ReID", AAAI 2023, L_i2tce of the second stage.

    Args:
        feats: (B, D) projected image features, not normalised.
        text_features: (K, D) one a training identity; constants.
        labels: (B,) int64 in 0..K-1.
        smoothing: e in [0, 1).

    Raises:
        ValueError: If the shapes do not match.
    """
    _check_rows("feats", feats, labels)
    _check_widths("feats", feats, "text_features", text_features)
    with torch.autocast(feats.device.type, enabled=False):
        logits = _wide(feats) @ _wide(text_features).T  # (B, K)
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _wide(feats: Tensor) -> Tensor:
    """At least float32: products of half-precision features overflow."""
    return feats.to(torch.promote_types(feats.dtype, torch.float32))


def _check_rows(name: str, feats: Tensor, ids: Tensor) -> None:
    if feats.ndim != 2 or ids.shape != feats.shape[:1]:
        raise ValueError(
            f"{name} must be (N, D) with one identity a row, got {tuple(feats.shape)}, {tuple(ids.shape)}"
        )


def _check_widths(name: str, feats: Tensor, other_name: str, other: Tensor) -> None:
    if other.ndim != 2 or other.shape[1] != feats.shape[1]:
        raise ValueError(
            f"{name} and {other_name} must have one width, got {tuple(feats.shape)}, {tuple(other.shape)}"
        )

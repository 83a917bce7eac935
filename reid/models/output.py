"""What a re-identification model returns, in training and in evaluation alike."""

from typing import NamedTuple

from torch import Tensor


class ReIDOutput(NamedTuple):
    """One batch's features and class scores.

    Args:
        feat: (B, D) before the BNNeck, for the triplet loss.
        bn_feat: (B, D) after the BNNeck, for the classifier.
        logits: (B, num_classes) identity scores.
    """

    feat: Tensor
    bn_feat: Tensor
    logits: Tensor

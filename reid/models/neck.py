"""BNNeck: a BatchNorm between the feature that is ranked and the feature that is classified."""

from torch import nn


class BNNeck(nn.BatchNorm1d):
    """BatchNorm over features (B, D) whose shift is fixed at zero.

    The triplet loss wants distances, the identity loss wants directions; the neck lets each have its own
    feature. Without a shift the classes' boundaries go through the origin, as cosine ranking assumes.

    Source: Luo et al., "Bag of Tricks and a Strong Baseline for Deep Person Re-identification", CVPRW 2019.

    Args:
        dim: Feature width D.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.bias.requires_grad_(False)

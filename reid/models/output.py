"""What a re-identification model returns, in training and in evaluation alike."""

from typing import NamedTuple

from torch import Tensor


class BranchOutput(NamedTuple):
    """One feature of a batch's images, and its class scores.

    Args:
        feat: (B, D) before the BNNeck, for the triplet loss.
        bn_feat: (B, D) after the BNNeck, for the classifier; None for a branch without one.
        logits: (B, num_classes) identity scores; None likewise.
    """

    feat: Tensor
    bn_feat: Tensor | None
    logits: Tensor | None


class ReIDOutput(NamedTuple):
    """One batch's features and class scores, branch by branch.

    Args:
        branches: One for most backbones; jigsaw branches and CLIP give more. The first one is the feature of
            the whole image.
    """

    branches: tuple[BranchOutput, ...]

    @property
    def feat(self) -> Tensor:
        """(B, D) the first branch's feature before the BNNeck."""
        return self.branches[0].feat

    @property
    def bn_feat(self) -> Tensor:
        """(B, D) the first branch's feature after the BNNeck."""
        found = self.branches[0].bn_feat
        assert found is not None  # the first branch is classified
        return found

    @property
    def logits(self) -> Tensor:
        """(B, num_classes) the first branch's identity scores."""
        found = self.branches[0].logits
        assert found is not None  # the first branch is classified
        return found

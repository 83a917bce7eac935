"""What a backbone says of the features it returns."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Branch:
    """One feature of an image.

    Args:
        dim: Its width.
        scale: Factor in the retrieval feature, which joins all branches; 0 leaves it out.
        id_weight: Of its identity loss; 0 where it has no neck and no classifier.
        triplet_weight: Of its triplet loss.
    """

    dim: int
    scale: float = 1.0
    id_weight: float = 1.0
    triplet_weight: float = 1.0


def branches_of(backbone: nn.Module) -> tuple[Branch, ...]:
    """The branches of a backbone; one without ``branches`` has one feature, of ``num_features``."""
    found = getattr(backbone, "branches", None)
    return found or (Branch(int(backbone.num_features)),)  # type: ignore[arg-type]

"""Generalised-mean pooling: between the average and the maximum."""

import torch
from torch import Tensor, nn

EPS = 1e-6


def generalised_mean(x: Tensor, p: Tensor | float, dim: int | tuple[int, ...]) -> Tensor:
    """The generalised mean over some axes.

        y = (mean max(x, 1e-6)^p)^(1 / p)

    p = 1 is the average of what is positive, p to infinity the maximum.

    Source: Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018.

    Args:
        x: Any shape.
        p: The exponent, above 0.
        dim: The axes that are pooled.
    """
    return x.clamp(min=EPS).pow(p).mean(dim).pow(1 / p)


class GeM(nn.Module):
    """Generalised-mean pooling of a map, with an exponent that is trained, from 3."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C)."""
        return generalised_mean(x, self.p, (2, 3))

"""The network that is exported: images in, retrieval features out, without cameras."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reid.models import ReIDModel


class ExportNetwork(nn.Module):
    """Maps ``images`` (B, 3, H, W) float32 to retrieval features (B, D).

    Cameras and views are not read: side information is the mean embedding.

    Args:
        model: What to copy; left as it was.
        scale: Mean and deviation, RGB, where images come as 0..255 and are normalised inside; None where
            they come prepared.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: ReIDModel, scale: tuple[Sequence[float], Sequence[float]] | None) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        self.is_raw = scale is not None
        mean, std = scale or ((0.0,) * 3, (1.0,) * 3)
        # By names of their own: torch calls results after operations, and "mean" is one of them.
        self.register_buffer("pixel_mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std)[:, None, None], persistent=False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Map images to features."""
        if self.is_raw:
            images = (images / 255 - self.pixel_mean) / self.pixel_std
        return self.model.embed(images)

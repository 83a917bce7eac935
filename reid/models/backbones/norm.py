"""IBN-a: instance normalisation for one half of the channels, BatchNorm for the other."""

import torch
from torch import Tensor, nn


class IBN(nn.Module):
    """Normalise the first half of the channels image by image, the second half over the batch.

        y = [IN(x[: C // 2]), BN(x[C // 2 :])]

    The first half forgets an image's style (light, colour), the second keeps what tells identities apart.

    Source: Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", ECCV
    2018; IBN-a puts it behind the first convolution of a residual block.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.num_instance = channels // 2
        self.IN = nn.InstanceNorm2d(self.num_instance, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.num_instance)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return torch.cat([self.IN(x[:, : self.num_instance]), self.BN(x[:, self.num_instance :])], dim=1)

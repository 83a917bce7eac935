"""fast-reid's non-local block: every place of a map reads all others."""

import torch
from torch import Tensor, nn


class NonLocal(nn.Module):
    """Add to a map what all its places say, weighted by how alike they are.

        y = theta(x)^T phi(x) / N g(x)^T,  z = BN(W y) + x        N places; theta, phi, g, W are 1x1

    It starts as the identity: the norm's scale begins at zero.

    Source: Wang et al., "Non-local Neural Networks", CVPR 2018, in the form of fast-reid's AGW and SBS, whose
    inner maps have a single channel.

    Args:
        channels: Of x.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Conv2d(channels, 1, 1)
        self.theta = nn.Conv2d(channels, 1, 1)
        self.phi = nn.Conv2d(channels, 1, 1)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.W = nn.Sequential(nn.Conv2d(1, channels, 1), norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        places = x.shape[2] * x.shape[3]
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))  # (B, 1, N)
        # From the right, which is the same product without an N x N matrix: theta^T (phi g^T) / N.
        y = torch.matmul(torch.matmul(g, phi.transpose(1, 2)) / places, theta)  # (B, 1, N)
        return self.W(y.unflatten(2, (x.shape[2], x.shape[3]))) + x

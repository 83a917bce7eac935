"""One linear map behind the retrieval feature, for a denoising that no layer of the network can take."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid.models.camera_numbers import check_numbers, places_of


class EmbeddingDenoiser(nn.Linear):
    """Denoise the retrieval feature by one linear map of its direction.

        y = A (x / |x| - mu) = W x / |x| + b        W = A,  b = -A mu

    With a mean per camera there is a second map, A_c for images whose cameras are told, image by image:

        y = A_c (x / |x| - mu_c)        of a camera c >= 0 that has no mean mu_c = mu

    An image of unknown camera, -1, goes through the first: A_c leaves the cameras' offsets in.

    The normalisation comes first, so this folds into no layer before it. D^2 + D numbers, and with means per
    camera D^2 more and D a camera: under 0.1 % of a ViT-S's work.

    Args:
        dim: Feature width D.
        cameras: Those that have a mean of their own, in the order of the rows of ``camera_bias``.
    """

    cameras: Tensor
    camera_weight: Tensor | None
    camera_bias: Tensor | None

    def __init__(self, dim: int, cameras: Sequence[int] = ()) -> None:
        super().__init__(dim, dim)
        # Of the spec, not of the weights.
        self.register_buffer("cameras", torch.tensor(cameras, dtype=torch.long), persistent=False)
        self.register_buffer("camera_weight", torch.zeros(dim, dim) if cameras else None)
        self.register_buffer("camera_bias", torch.zeros(len(cameras) + 1, dim) if cameras else None)

    @torch.no_grad()
    def set(self, weight: Tensor, mean: Tensor) -> None:
        """Take A (D, D) and mu (D,)."""
        self.weight.copy_(weight)
        self.bias.copy_(-(weight.double() @ mean.double()))

    @torch.no_grad()
    def set_cameras(self, weight: Tensor, mean: Tensor, camera_means: Mapping[int, Tensor]) -> None:
        """Take A_c (D, D), mu (D,) and, of every camera, mu_c (D,).

        Raises:
            ValueError: If the layer was built without cameras.
        """
        if self.camera_weight is None or self.camera_bias is None:
            raise ValueError("the layer must be built with cameras to take their means, it has none")
        means = torch.stack([*(camera_means[int(camera)] for camera in self.cameras), mean])  # (C + 1, D)
        self.camera_weight.copy_(weight)
        self.camera_bias.copy_(-(means.double() @ weight.double().T))

    def forward(self, input: Tensor, camids: Tensor | None = None) -> Tensor:
        """Map features (B, D) of any length to (B, D); their length means nothing.

        Args:
            input: The features.
            camids: (B,) int64 their cameras, -1 unknown; None where none is.

        Raises:
            InputError: If there is not one whole number for each feature.
        """
        direction = F.normalize(input, dim=1)
        alone = super().forward(direction)
        if camids is None or self.camera_weight is None or self.camera_bias is None:
            return alone
        # Of a graph that is being traced nothing is known yet.
        if isinstance(camids, Tensor) and isinstance(input, Tensor):
            check_numbers("camids", camids, len(input))
        places = places_of(self.cameras, len(self.cameras), camids)
        told = F.linear(direction, self.camera_weight) + self.camera_bias[places]
        return torch.where((camids >= 0)[:, None], told, alone)

"""One linear map behind the retrieval feature, for a denoising that no layer of the network can take."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid.models.camera_numbers import check_numbers, places_of


class EmbeddingDenoiser(nn.Linear):
    """Denoise the retrieval feature by one linear map of its direction.

        y = A (x / |x| - mu) = W x / |x| + b        W = A,  b = -A mu

    With a mean per camera an image of camera c takes b_c = -A mu_c in place of b; one of another camera, or
    of none, takes b. The normalisation comes first, so this folds into no layer before it. D^2 + D numbers,
    and D more a camera: under 0.1 % of a ViT-S's work.

    Args:
        dim: Feature width D.
        cameras: Those that have a mean of their own, in the order of the rows of ``camera_bias``.
    """

    cameras: Tensor
    camera_bias: Tensor | None

    def __init__(self, dim: int, cameras: Sequence[int] = ()) -> None:
        super().__init__(dim, dim)
        # Of the spec, not of the weights.
        self.register_buffer("cameras", torch.tensor(cameras, dtype=torch.long), persistent=False)
        self.register_buffer("camera_bias", torch.zeros(len(cameras), dim) if cameras else None)

    @torch.no_grad()
    def set(self, weight: Tensor, mean: Tensor, camera_means: Mapping[int, Tensor] | None = None) -> None:
        """Take A (D, D), mu (D,) and, of every camera, mu_c (D,)."""
        self.weight.copy_(weight)
        self.bias.copy_(-(weight.double() @ mean.double()))
        if self.camera_bias is not None and camera_means is not None:
            means = torch.stack([camera_means[int(camera)] for camera in self.cameras])  # (C, D)
            self.camera_bias.copy_(-(means.double() @ weight.double().T))

    def forward(self, input: Tensor, camids: Tensor | None = None) -> Tensor:
        """Map features (B, D) of any length, with their cameras (B,), to (B, D); their length means nothing.

        Raises:
            InputError: If there is not one whole number for each feature.
        """
        direction = F.normalize(input, dim=1)
        if self.camera_bias is None or camids is None:
            return super().forward(direction)
        # Of a graph that is being traced nothing is known yet.
        if isinstance(camids, Tensor) and isinstance(input, Tensor):
            check_numbers("camids", camids, len(input))
        table = torch.cat([self.camera_bias, self.bias[None]])  # (C + 1, D)
        return F.linear(direction, self.weight) + table[places_of(self.cameras, len(self.cameras), camids)]

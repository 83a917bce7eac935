"""DenoiseRep-: one denoiser on the final feature, at a cost in every inference; the paper's control."""

from typing import Any

from torch import Tensor, nn

from reid.denoise.denoiser import Denoiser
from reid.denoise.schedule import NoiseSchedule


class DenoisedFeature(nn.Module):
    """A network followed by ``steps`` reverse steps on its output: X' = A X + c, never fused.

    Source: Xu et al., NeurIPS 2024, Section 3.2 and Table 4 (the row with a minus sign).

    Args:
        network: Returns features (B, dim); used as it is, not copied.
        dim: The features' width.
        steps: Reverse steps t = steps, ..., 1.
        schedule: The noise schedule; the paper's by default.

    Raises:
        ValueError: If ``steps`` is outside 1..schedule.timesteps.
    """

    def __init__(
        self, network: nn.Module, dim: int, steps: int = 1, schedule: NoiseSchedule | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.denoiser = Denoiser(dim, steps, steps, schedule or NoiseSchedule())

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the network's feature (B, dim), denoised."""
        return self.denoiser(self.network(*args, **kwargs))

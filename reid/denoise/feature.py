"""DenoiseRep-: one denoiser on the final feature, at a cost in every inference; the paper's control."""

from typing import Any

from torch import Tensor, nn

from reid.denoise.denoiser import Denoiser
from reid.denoise.schedule import NoiseSchedule
from reid.denoise.timesteps import first_timesteps


class DenoisedFeature(nn.Module):
    """A network followed by ``steps`` reverse steps on its output: X'' = A X + c, never fused.

    Source: Xu et al., NeurIPS 2024, Section 3.2 and Table 4 (the row with a minus sign).

    Args:
        network: Returns features (B, dim); used as it is, not copied.
        dim: The features' width.
        steps: Reverse steps; by default t = steps, ..., 1.
        schedule: The noise schedule; the paper's by default.
        t_rule: Where they begin, as for one layer in :func:`first_timesteps`.
        strength: How much of the denoising is applied, in [0, 1].

    Raises:
        ValueError: If a step would leave 1..schedule.timesteps, or the strength is outside its range.
    """

    def __init__(
        self,
        network: nn.Module,
        dim: int,
        steps: int = 1,
        schedule: NoiseSchedule | None = None,
        t_rule: str | int = "depth",
        strength: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        schedule = schedule or NoiseSchedule()
        (t,) = first_timesteps(1, steps, schedule.timesteps, t_rule)
        self.denoiser = Denoiser(dim, t, steps, schedule, strength=strength)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the network's feature (B, dim), denoised."""
        return self.denoiser(self.network(*args, **kwargs))

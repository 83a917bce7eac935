"""The denoiser of one layer: an affine prediction of the noise in its features, run backwards in time."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reid.denoise.expected import expected_l2
from reid.denoise.schedule import NoiseSchedule

LOSSES = ("l1", "l2", "l1+l2")
DISTANCES = {"l1": F.l1_loss, "l2": F.mse_loss}


class Denoiser(nn.Module):
    """An affine noise prediction and the reverse steps it drives.

        D(X) = W_D X + b_D
        X'   = (X - beta_t / sqrt(1 - abar_t) D(X)) / sqrt(a_t)        for t, t-1, ..., t-steps+1

    A time embedding at a fixed t is a constant vector, so it is part of b_D. All steps of one layer share
    W_D and b_D, as in Eq. 8 to 10 of the paper. No noise is added back: inference is deterministic.

    Of what all steps do together, a part s in [0, 1] is applied:

        X'' = (1 - s) X + s X'

    The paper has s = 1, and s = 0 is the identity. The noise prediction and its loss do not depend on s.

    W_D and b_D start at zero: "no noise here", a loss of exactly 1 with L2, and no seed needed.

    Source: Xu et al., NeurIPS 2024, Eq. 5 and 8-10.

    Args:
        dim: Number of channels d of the features.
        t: The first reverse step, in steps..schedule.timesteps.
        steps: How many reverse steps are run, at least 1.
        schedule: Where beta_t and abar_t come from.
        bias: Whether b_D exists; without it the steps shrink towards zero instead of towards a mean.
        channel_dim: Where the features' channels are: -1 for (..., d), -3 for (B, d, H, W).
        strength: s.

    Raises:
        ValueError: If the steps leave 1..timesteps, s leaves [0, 1], or ``channel_dim`` is neither -1 nor -3.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        dim: int,
        t: int,
        steps: int,
        schedule: NoiseSchedule,
        *,
        bias: bool = True,
        channel_dim: int = -1,
        strength: float = 1.0,
    ) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        schedule.check(t)
        schedule.check(t - steps + 1)
        if channel_dim not in (-1, -3):
            raise ValueError(f"channel_dim must be -1 or -3, got {channel_dim}")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be in [0, 1], got {strength}")
        self.schedule = schedule
        self.timesteps = tuple(range(t, t - steps, -1))
        self.channel_dim, self.strength = channel_dim, strength
        self.weight = nn.Parameter(torch.zeros(dim, dim))
        if bias:
            self.bias = nn.Parameter(torch.zeros(dim))
        else:
            self.register_parameter("bias", None)

    def predict(self, features: Tensor) -> Tensor:
        """D(X), in the precision of the features, or in that of W_D where the two differ in autocast."""
        weight = self.weight.to(features.dtype)
        bias = None if self.bias is None else self.bias.to(features.dtype)
        if self.channel_dim == -1:
            return F.linear(features, weight, bias)
        return F.conv2d(features, weight[:, :, None, None], bias)

    def forward(self, features: Tensor) -> Tensor:
        """Run the reverse steps on features of any shape with d channels; the shape stays."""
        denoised = features
        for t in self.timesteps:
            scale, c1 = self.schedule.reverse_coefficients(t)
            denoised = scale * denoised - c1 * self.predict(denoised)
        return denoised if self.strength == 1 else (1 - self.strength) * features + self.strength * denoised

    def loss(
        self,
        features: Tensor,
        kind: str = "l2",
        generator: torch.Generator | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """The distance of the predicted noise from the noise that was mixed in, a mean over elements.

            X_t = sqrt(abar_t) X + sqrt(1 - abar_t) eps,  eps ~ N(0, I)
            l1: |D(X_t) - eps|      l2: (D(X_t) - eps)^2      l1+l2: their sum

        Eq. 11 of the paper is L1, its Algorithm 1 is L2, the authors' code adds both. With several steps t is
        one of this layer's. L2 alone is the mean over eps and t, in closed form (:func:`expected_l2`): no
        draw, no variance. The others draw eps, and one t, at each call. The features are constants: the
        gradient reaches W_D and b_D only, because a backbone could lower this loss by shrinking its features
        to nothing. Computed in float32 at least, whatever the autocast.

        A position is a token of an image or a cell of a map, and all n of a batch have the same W_D and b_D.
        So a share of them will do: with P drawn without replacement and r the mean distance of one position,

            L = 1/|P| sum_{p in P} r_p      |P| = round(share n), at least 1      E[L] = 1/n sum_p r_p

        Its cost falls with the share; its gradient has the same mean and more variance.

        Args:
            features: What enters the denoiser, d channels at ``channel_dim``.
            kind: One of l1, l2, l1+l2.
            generator: Draws the positions, t and eps; on the features' device. Default: torch's own.
            share: Of the positions, in (0, 1]; 1 takes all.

        Returns:
            A scalar.

        Raises:
            ValueError: If ``kind`` is unknown or ``share`` outside its range.
        """
        if kind not in LOSSES:
            raise ValueError(f"the denoising loss must be one of {', '.join(LOSSES)}, got '{kind}'")
        if not 0 < share <= 1:
            raise ValueError(f"the share of positions must be in (0, 1], got {share}")
        dtype = torch.promote_types(features.dtype, torch.float32)
        weight = self.weight.to(dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        with torch.autocast(features.device.type, enabled=False):
            rows = self._draw_positions(features.detach(), share, generator).to(dtype)
            if kind == "l2":
                return expected_l2(weight, bias, rows, self.schedule.mixing(self.timesteps))
            noise = torch.randn(rows.shape, generator=generator, device=rows.device, dtype=dtype)
            mixed = self.schedule.diffuse(rows, noise, self._draw_t(rows, generator))
            predicted = F.linear(mixed, weight, bias)
            return torch.stack([DISTANCES[name](predicted, noise) for name in kind.split("+")]).sum()

    def _draw_positions(self, features: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
        """The features of a share of the positions, in random order; of all, in theirs: (n, d)."""
        rows = features.movedim(self.channel_dim, -1)  # (..., d)
        total = rows.shape[:-1].numel()
        wanted = max(1, round(share * total))
        if wanted >= total:
            return rows.reshape(total, -1)
        numbers = torch.randperm(total, generator=generator, device=rows.device)[:wanted]
        # Indexing copies these rows alone, where a reshape would copy a whole map.
        return rows[torch.unravel_index(numbers, rows.shape[:-1])]

    def _draw_t(self, features: Tensor, generator: torch.Generator | None) -> int:
        """One of this layer's steps, each as likely; the only one needs no draw."""
        if len(self.timesteps) == 1:
            return self.timesteps[0]
        draw = torch.randint(len(self.timesteps), (), generator=generator, device=features.device)
        return self.timesteps[int(draw)]

    @torch.no_grad()
    def as_affine(self) -> tuple[Tensor, Tensor]:
        """All reverse steps, and the part s of them, as one map X'' = A X + c, composed in float64.

        One step is X' = A_t X + c_t with

            A_t = I / sqrt(a_t) - C1(t) W_D        c_t = -C1(t) b_D

        (:meth:`NoiseSchedule.reverse_coefficients`). From A = I and c = 0, every step in turn makes of them

            A <- A_t A        c <- A_t c + c_t        at the end        A <- (1 - s) I + s A        c <- s c

        Returns:
            A (d, d) and c (d,), float64.
        """
        weight = self.weight.double()
        bias = weight.new_zeros(len(weight)) if self.bias is None else self.bias.double()
        identity = torch.eye(len(weight), dtype=torch.float64, device=weight.device)
        matrix, constant = identity, torch.zeros_like(bias)
        for t in self.timesteps:
            scale, c1 = self.schedule.reverse_coefficients(t)
            step = scale * identity - c1 * weight
            matrix, constant = step @ matrix, step @ constant - c1 * bias
        if self.strength != 1:
            matrix, constant = (
                (1 - self.strength) * identity + self.strength * matrix,
                self.strength * constant,
            )
        return matrix, constant

    def extra_repr(self) -> str:
        """Shown by print(model)."""
        parts = f"dim={len(self.weight)}, t={list(self.timesteps)}, bias={self.bias is not None}"
        return f"{parts}, strength={self.strength}"


def denoisers_by_layer(model: nn.Module) -> dict[str, Denoiser]:
    """Every denoiser by the name of the layer that it belongs to; the empty name is the model itself."""
    named = model.named_modules()
    return {name.rpartition(".")[0]: module for name, module in named if isinstance(module, Denoiser)}

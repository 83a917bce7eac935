"""The noise schedule: how much noise a diffusion step adds, and how one reverse step takes it away."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from torch import Tensor


class Mixing(NamedTuple):
    """Means over some steps t of how features and noise are mixed.

    Args:
        p: Of abar_t.
        q: Of sqrt(abar_t).
        k: Of sqrt(1 - abar_t).
    """

    p: float
    q: float
    k: float


@dataclass(frozen=True)
class NoiseSchedule:
    """Linear betas, as in DDPM; every table is indexed from t = 1.

        beta_t = beta_start + (beta_end - beta_start) (t - 1) / (timesteps - 1)
        a_t    = 1 - beta_t
        abar_t = a_1 a_2 ... a_t

    Source: Ho et al., NeurIPS 2020; the default range is that of Xu et al. (DenoiseRep), NeurIPS 2024,
    where DDPM itself ends at 2e-2.

    Args:
        timesteps: Number of diffusion steps, at least 1.
        beta_start: beta_1, in [1e-8, 1): of a smaller one 1 - abar_1 would keep few digits, or none.
        beta_end: beta_timesteps, in [beta_start, 1).
        rescale: Whether a reverse step keeps the factor 1/sqrt(a_t) in front of X, as Eq. 5 of the paper
            has it. False gives the step as Eq. 7 is printed, without the factor.

    Raises:
        ValueError: If a number is outside its range.
    """

    timesteps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 2e-3
    rescale: bool = True

    def __post_init__(self) -> None:
        if self.timesteps < 1:
            raise ValueError(f"timesteps must be at least 1, got {self.timesteps}")
        if not 1e-8 <= self.beta_start <= self.beta_end < 1:
            raise ValueError(
                "betas must satisfy 1e-8 <= beta_start <= beta_end < 1,"
                f" got {self.beta_start} and {self.beta_end}"
            )

    def beta(self, t: int) -> float:
        """beta_t for t in 1..timesteps."""
        self.check(t)
        if self.timesteps == 1:
            return self.beta_start
        return self.beta_start + (self.beta_end - self.beta_start) * (t - 1) / (self.timesteps - 1)

    def alpha(self, t: int) -> float:
        """a_t = 1 - beta_t."""
        return 1.0 - self.beta(t)

    def alpha_bar(self, t: int) -> float:
        """abar_t, the product of a_1 to a_t: the share of the signal's variance left after t steps."""
        self.check(t)
        return self._alpha_bars[t - 1]

    @cached_property
    def _alpha_bars(self) -> list[float]:
        products, product = [], 1.0
        for t in range(1, self.timesteps + 1):
            product *= self.alpha(t)
            products.append(product)
        return products

    def check(self, t: int) -> None:
        """Refuse a step outside 1..timesteps.

        Raises:
            ValueError: If ``t`` is outside.
        """
        if not 1 <= t <= self.timesteps:
            raise ValueError(f"t must be in 1..{self.timesteps}, got {t}")

    def diffuse(self, features: Tensor, noise: Tensor, t: int) -> Tensor:
        """Forward process, Eq. 2: X_t = sqrt(abar_t) X + sqrt(1 - abar_t) eps.

        Args:
            features: X, of any shape.
            noise: eps of the same shape, drawn from N(0, I).
            t: Time step, 1..``timesteps``.

        Raises:
            ValueError: If ``t`` is outside its range.
        """
        abar = self.alpha_bar(t)
        return math.sqrt(abar) * features + math.sqrt(1 - abar) * noise

    def mixing(self, timesteps: Sequence[int]) -> Mixing:
        """What the optimum over several steps t, each as likely, depends on."""
        abars = [self.alpha_bar(t) for t in timesteps]
        terms = [(abar, math.sqrt(abar), math.sqrt(1 - abar)) for abar in abars]
        return Mixing(*(sum(column) / len(abars) for column in zip(*terms, strict=True)))

    def reverse_coefficients(self, t: int) -> tuple[float, float]:
        """The two numbers of one reverse step X' = scale X - C1(t) D_t(X).

            scale = 1 / sqrt(a_t)      C1(t) = beta_t / (sqrt(a_t) sqrt(1 - abar_t))

        With ``rescale=False`` the scale is 1.
        """
        root = math.sqrt(self.alpha(t))
        scale = 1.0 / root if self.rescale else 1.0
        return scale, self.beta(t) / (root * math.sqrt(1 - self.alpha_bar(t)))

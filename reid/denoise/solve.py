"""The best denoisers in closed form: no gradient, one factorisation a layer."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from reid.denoise.attach import copy_model
from reid.denoise.denoiser import Denoiser, denoisers_by_layer
from reid.denoise.moments import Moments
from reid.denoise.statistics import gather_statistics

# Of the largest eigenvalue: what float32 products leave in the others, and more than float64 ones do.
SINGLE, DOUBLE = 1e-8, 1e-12
ROUNDED_SHARE = 0.1  # of the noise, what rounding may be seen to take away

M = TypeVar("M", bound=nn.Module)


def solve_denoisers(model: M, images_or_statistics: Tensor | Iterable[Tensor] | Mapping[str, Moments]) -> M:
    """Return a copy whose denoisers have the lowest L2 loss that affine denoisers can have.

    A denoiser is affine and its L2 loss a mean of squares, so the optimum follows from the mean mu and the
    covariance S of the features. With the means over the layer's steps t

        p = mean abar_t      q = mean sqrt(abar_t)      k = mean sqrt(1 - abar_t)

    the noisy features X_t have mean q mu, covariance C and covariance k I with the noise, so

        C    = p S + (p - q^2) mu mu^T + (1 - p) I
        W_D* = k C^-1        b_D* = -W_D* q mu

    For one step p = q^2 and this is W_D* = sqrt(1 - abar_t) (abar_t S + (1 - abar_t) I)^-1. A denoiser
    without b_D takes C + q^2 mu mu^T in place of C. (1 - p) I keeps C invertible, however few the images.

    Not in the paper. mu and S are those of the plain network, so a deep layer's optimum takes no account of
    what the denoisers before it change.

    Args:
        model: A model with denoisers; left as it was.
        images_or_statistics: Images as for :func:`gather_statistics`, or what it returned, for this or any
            other schedule and number of steps.

    Raises:
        ValueError: If the statistics lack a layer or have another width, their rounding is not small
            beside the noise, or the images cannot be used.
        RuntimeError: If a denoised layer did not run.

    Example:
        >>> from reid.denoise import attach_denoisers
        >>> model = attach_denoisers(nn.Sequential(nn.Linear(2, 2)), "0")
        >>> solve_denoisers(model, torch.zeros(4, 2))[0].denoiser.weight.data.diag()  # 1 / sqrt(1 - abar_1)
        tensor([100., 100.])
    """
    statistics = _statistics(model, images_or_statistics)
    model = copy_model(model)
    solve_in_place(model, statistics)
    return model


@torch.no_grad()
def solve_in_place(model: nn.Module, statistics: Mapping[str, Moments]) -> dict[str, float]:
    """Give the model's own denoisers the values of :func:`solve_denoisers`.

    Returns:
        The :func:`loss_floor` of each layer, which comes with them.

    Raises:
        ValueError: If the statistics lack a layer or have another width, or their rounding is not small
            beside the noise.
    """
    statistics, floors = _statistics(model, statistics), {}
    for name, denoiser in denoisers_by_layer(model).items():
        weight, bias = _optimum(name, denoiser, statistics[name])
        denoiser.weight.copy_(weight)
        if denoiser.bias is not None:
            denoiser.bias.copy_(bias)
        floors[name] = _floor(denoiser, weight)
    return floors


def loss_floor(model: nn.Module, statistics: Mapping[str, Moments]) -> dict[str, float]:
    """The lowest expected L2 loss (per element) of each layer's denoiser, to hold a trained one against.

        1 - k trace(W_D*) / d

    Raises:
        ValueError: If the statistics lack a layer or have another width, or their rounding is not small
            beside the noise.
    """
    statistics = _statistics(model, statistics)
    return {
        name: _floor(denoiser, _optimum(name, denoiser, statistics[name])[0])
        for name, denoiser in denoisers_by_layer(model).items()
    }


def _floor(denoiser: Denoiser, optimum: Tensor) -> float:
    k = denoiser.schedule.mixing(denoiser.timesteps).k
    return float(1 - k * optimum.trace() / len(optimum))


def _optimum(name: str, denoiser: Denoiser, moments: Moments) -> tuple[Tensor, Tensor]:
    """W_D* (d, d) and b_D* (d,), float64."""
    p, q, k = denoiser.schedule.mixing(denoiser.timesteps)
    mean = moments.mean
    # E[X_t X_t^T] without a constant to take the mean away, else the covariance.
    outer = p if denoiser.bias is None else p - q**2
    identity = torch.eye(len(mean), dtype=torch.float64)
    signal = p * moments.covariance
    _check_rounding(name, signal, 1 - p)
    matrix = signal + outer * torch.outer(mean, mean) + (1 - p) * identity
    factor, info = torch.linalg.cholesky_ex(matrix)
    if info.item() or not factor.isfinite().all():
        raise ValueError(
            f"{name}: the statistics' mean or covariance is too large for float64 beside the noise of"
            f" {1 - p:.1e}; scale the features down, or gather them anew"
        )
    weight = k * torch.cholesky_inverse(factor)
    return weight, -q * weight @ mean


def _check_rounding(name: str, signal: Tensor, noise: float) -> None:
    """Refuse a covariance whose rounding would be taken for a part of the noise.

    Of features S has no eigenvalue below 0. Sums of float32 products have some, of about -1e-8 of the
    largest, and as many that are above 0 by chance. So with l, the lowest eigenvalue of p S, and L, its
    largest,

        l >= -0.1 (1 - p)      and      1e-8 L <= 1 - p + max(l, 0)

    The second is not asked where the size of l is below 1e-12 L: such an eigenvalue is 0, of float64
    products. Natural networks are far from both: of a ViT whose weights were drawn L is 50, l is -2e-7, and
    1 - p at least 1e-4.

    Args:
        name: Of the layer.
        signal: (d, d) p S.
        noise: 1 - p.

    Raises:
        ValueError: If one does not hold.
    """
    identity = torch.eye(len(signal), dtype=torch.float64)
    is_seen = int(torch.linalg.cholesky_ex(signal + ROUNDED_SHARE * noise * identity).info) != 0
    # The trace is no less than L, so most layers need no eigenvalues.
    if not is_seen and SINGLE * float(signal.trace()) <= noise:
        return
    values = torch.linalg.eigvalsh(signal)
    low, high = float(values[0]), float(values[-1])
    if is_seen or (SINGLE * high > noise + max(low, 0) and abs(low) > DOUBLE * high):
        raise ValueError(
            f"the noise 1 - abar_t at '{name or 'the model'}' must be well above the rounding of its"
            f" covariance, got {noise:.1e} and eigenvalues of {low:.1e} to {high:.1e}; raise beta_start or t,"
            " scale the features down, or gather float64 ones"
        )


def _statistics(
    model: nn.Module, given: Tensor | Iterable[Tensor] | Mapping[str, Moments]
) -> Mapping[str, Moments]:
    """Measured if they are images, and checked against the model's denoisers."""
    statistics = given if isinstance(given, Mapping) else gather_statistics(model, given)
    for name, denoiser in denoisers_by_layer(model).items():
        if name not in statistics:
            raise ValueError(
                f"the statistics lack the layer '{name}'; gather them from a model with its denoiser"
            )
        if len(statistics[name].mean) != len(denoiser.weight):
            raise ValueError(
                f"the statistics of '{name}' have {len(statistics[name].mean)} channels, its denoiser"
                f" {len(denoiser.weight)}"
            )
    return statistics

"""Random denoisers, as large as trained ones: what a trained denoiser must be better than."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from reid.denoise.attach import copy_model
from reid.denoise.denoiser import denoisers_by_layer

M = TypeVar("M", bound=nn.Module)


def randomize_denoisers(model: M, like: nn.Module, seed: int) -> M:
    """Return a copy of ``model`` whose denoisers are random, with the norms that those of ``like`` have.

        W_D = G |W_D of like| / |G|      b_D = g |b_D of like| / |g|      G, g ~ N(0, I), Frobenius norms

    Args:
        model: A model with denoisers; left as it was.
        like: The same network with trained denoisers.
        seed: Of the draw.

    Raises:
        ValueError: If the denoisers of the two are not of the same layers and sizes.
    """
    model = copy_model(model)
    own, others = denoisers_by_layer(model), denoisers_by_layer(like)
    if own.keys() != others.keys():
        differing = sorted(own.keys() ^ others.keys())
        raise ValueError(f"both must denoise the same layers, only one denoises {', '.join(differing)}")
    generator = torch.Generator().manual_seed(seed)
    for name, denoiser in own.items():
        pairs = zip(denoiser.named_parameters(), others[name].parameters(), strict=True)
        for (part, parameter), trained in pairs:
            if parameter.shape != trained.shape:
                raise ValueError(f"the {part} of '{name}' must have one size, the shapes differ")
            parameter.data.copy_(_random(trained.data, generator))
    return model


def _random(like: Tensor, generator: torch.Generator) -> Tensor:
    draw = torch.randn(like.shape, generator=generator)
    return draw * (like.norm().cpu() / draw.norm())

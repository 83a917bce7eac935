"""Denoisers that do something: zero ones would let a no-op pass."""

import torch

from reid.denoise import Denoiser


def randomise_denoisers(model, size=1.0, seed=0):
    """Give every denoiser of ``model`` weights of a trained one's size, in place; return the model."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, Denoiser):
            for parameter in module.parameters():
                # A row of W_D has norm about 1, the norm of a perfect denoiser's rows.
                scale = size / parameter.shape[-1] ** 0.5
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.data.copy_(noise * scale)
    return model


def relative_difference(a, b):
    """Largest absolute difference over the largest absolute value."""
    return float((a.double() - b.double()).abs().max() / b.double().abs().max())

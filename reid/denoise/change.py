"""How much fusion changes a model, so that a denoiser that does nothing is seen to do nothing."""

import torch
from torch import nn

from reid.denoise.feature import DenoisedFeature
from reid.denoise.layers import denoised_layers


@torch.no_grad()
def weight_change(model: nn.Module, fused: nn.Module | None = None) -> dict[str, float]:
    """The relative change |W' - W| / |W| (Frobenius norms) of every denoised layer, by name.

    Zero where W is zero and stays so. A denoised final feature has no layer: there W is the identity, and the
    change |A - I| / |I| is that of its map X' = A X + c.

    Args:
        model: With denoisers.
        fused: What :func:`fuse_denoisers` made of it, where that is there: no layer is then fused again.

    Raises:
        ValueError: If a fused weight is not finite.
    """
    changes = {}
    for name, layer in denoised_layers(model).items():
        plain = layer.fuse() if fused is None else fused.get_submodule(name)
        before, after = layer.weight.double(), plain.get_parameter("weight").double()
        changes[name] = float(
            (after - before).norm() / before.norm().clamp_min(torch.finfo(before.dtype).tiny)
        )
    for name, module in model.named_modules():
        if isinstance(module, DenoisedFeature):
            matrix, _ = module.denoiser.as_affine()
            identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
            changes[name] = float((matrix - identity).norm() / identity.norm())
    return changes

"""Fold every denoiser into its layer: the denoised network at the plain network's cost."""

import posixpath
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from reid.denoise.attach import copy_model, swap_layer
from reid.denoise.feature import DenoisedFeature
from reid.denoise.layers import DenoisedConv2d, denoised_layers

M = TypeVar("M", bound=nn.Module)


def fuse_denoisers(model: M) -> M:
    """Return a copy with plain layers that computes what the denoised model computes in eval mode.

    With A (d, d) and c (d,) the one affine map X' = A X + c that a layer's reverse steps amount to
    (:meth:`Denoiser.as_affine`; A_t = I / sqrt(a_t) - C1(t) W_D and c_t = -C1(t) b_D for one step):

        linear:       W' = W A,  b' = b + W c
        convolution:  W' = A W,  b' = A b + c;  without a bias, the BatchNorm behind it takes
                      running_mean' = running_mean - c

    Computed in float64 and stored in each layer's dtype. The copy has exactly the plain model's keys, the
    same bits at every call, and is returned unchanged by a second fusion. ``model`` stays as it is.

    Source: Xu et al., NeurIPS 2024, Algorithm 2 (without its random bias term).

    Raises:
        ValueError: If a fused value is not finite, if a BatchNorm that must take a constant is gone, if a
            denoised layer has hooks, if the model cannot be copied, or if it denoises its final feature
            (DenoiseRep-), which has no layer to fold into.
    """
    if any(isinstance(module, DenoisedFeature) for module in model.modules()):
        raise ValueError("a denoiser on the final feature has no layer to fold into; use the model as it is")
    model = copy_model(model)
    for name, layer in denoised_layers(model).items():
        try:
            plain = layer.fuse()
            if isinstance(layer, DenoisedConv2d) and isinstance(plain, nn.Conv2d) and layer.batch_norm:
                _move_into_batch_norm(plain, model, posixpath.join(name.replace(".", "/"), layer.batch_norm))
        except ValueError as error:
            raise ValueError(f"{name or 'the layer'} cannot be fused: {error}") from error
        model = swap_layer(model, name, plain)
    return model


@torch.no_grad()
def _move_into_batch_norm(conv: nn.Conv2d, model: nn.Module, path: str) -> None:
    """Take the bias that fusion gave ``conv`` into the BatchNorm at ``path``: (y + c) - m = y - (m - c)."""
    name = posixpath.normpath(path).replace("/", ".")
    try:
        norm = model.get_submodule(name)
    except AttributeError:
        norm = None
    if (
        not isinstance(norm, _BatchNorm)
        or norm.running_mean is None
        or norm.num_features != conv.out_channels
    ):
        raise ValueError(f"the BatchNorm '{name}' that must take its constant is gone or has changed")
    assert conv.bias is not None  # its denoiser has a bias wherever a BatchNorm is named
    mean = norm.running_mean.double() - conv.bias.double()
    norm.running_mean.copy_(mean.to(norm.running_mean.dtype))
    conv.bias = None

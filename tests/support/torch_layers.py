"""torch's own layers with the parameters of a state dict, which the peers' oracles are checked against."""

import torch
import torch.nn.functional as F
from torch import nn


def close(got, expected):
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def batch_norm(state, prefix, x):
    return F.batch_norm(
        x, *(state[f"{prefix}{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    )


def layer_norm(state, prefix, x, eps):
    return F.layer_norm(x, x.shape[-1:], state[f"{prefix}weight"], state[f"{prefix}bias"], eps)


def with_parameters(names):
    return {f"{ours}.{p}": f"{theirs}.{p}" for ours, theirs in names.items() for p in ("weight", "bias")}


def encoder_layer(state, prefix, names, width, activation, eps):
    """torch's own pre-norm transformer layer with the parameters of one block."""
    layer = nn.TransformerEncoderLayer(
        width, width // 64, 4 * width, 0.0, activation, eps, batch_first=True, norm_first=True
    )
    layer.load_state_dict({ours: state[f"{prefix}{theirs}"] for ours, theirs in names.items()})
    return layer.eval().requires_grad_(False)


def without_branches(state, *layers):
    """The state with these layers at zero, so that every block of a transformer passes its tokens on."""
    return {k: torch.zeros_like(v) if any(layer in k for layer in layers) else v for k, v in state.items()}

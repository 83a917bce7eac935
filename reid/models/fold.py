"""Fold a denoising of the retrieval feature into the layers that the feature comes out of."""

import copy

import torch
from torch import Tensor, nn

from reid.models.reid_model import ReIDModel


def can_fold(model: ReIDModel) -> bool:
    """Whether the retrieval feature is an affine function of a linear layer's output.

    It is where a linear layer reduces the feature (``MODEL.REDUCE_FEAT_DIM``) and what is retrieved with lies
    behind the BNNeck. Elsewhere a LayerNorm, a pooling or a ReLU comes last, or there is no place for a
    constant.
    """
    is_last = model.spec.neck_feat == "after" and model.embedding_denoiser is None
    return isinstance(model.reduction, nn.Linear) and is_last and not model.feature_denoisers


@torch.no_grad()
def fold_affine(model: ReIDModel, matrix: Tensor, constant: Tensor) -> ReIDModel:
    """A copy whose retrieval feature z has become y = M z + c, under the same keys.

        z  = G (W f - m) + s        W the reducing layer, G = diag(g / sqrt(v + eps)), m, s of the BNNeck
        W' = M G W                  m' = 0,  v' = 1 - eps,  g' = 1,  s' = M (s - G m) + c

    Computed in float64. The classifier is left: it is of the feature before.

    Args:
        model: One that :func:`can_fold`; left as it was.
        matrix: (D, D) M.
        constant: (D,) c.

    Raises:
        ValueError: If it cannot be folded, or the result is not finite.
    """
    if not can_fold(model):
        raise ValueError(
            "the retrieval feature must come out of a reducing layer and the BNNeck; it does not"
        )
    model = copy.deepcopy(model)
    layer, neck = model.reduction, model.neck
    assert isinstance(layer, nn.Linear)  # can_fold says so
    mean, variance = neck.running_mean, neck.running_var
    assert mean is not None  # a BNNeck keeps statistics
    assert variance is not None
    matrix, constant = matrix.double(), constant.double()
    gain = neck.weight.double() / (variance.double() + neck.eps).sqrt()
    weight = matrix @ (gain[:, None] * layer.weight.double())
    shift = matrix @ (neck.bias.double() - gain * mean.double()) + constant
    weight, shift = weight.to(layer.weight.dtype), shift.to(neck.bias.dtype)
    if not (weight.isfinite().all() and shift.isfinite().all()):
        raise ValueError("the folded layer must be finite, it is not; the denoising has too large numbers")
    layer.weight.copy_(weight)
    mean.zero_()
    variance.fill_(1 - neck.eps)
    neck.weight.fill_(1)
    neck.bias.copy_(shift)
    return model

"""The L2 loss of a denoiser with the noise integrated out: value and gradient, without a draw."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from reid.denoise.outer import sum_of_outer_products
from reid.denoise.schedule import Mixing


def expected_l2(weight: Tensor, bias: Tensor | None, rows: Tensor, mixing: Mixing) -> Tensor:
    """The mean of (D(X_t) - eps)^2 over eps ~ N(0, I), the layer's steps t, the rows and the elements.

    X_t = sqrt(abar_t) x + sqrt(1 - abar_t) eps is Gaussian for each row x, and D is affine. With p, q, k
    the means over t of abar_t, sqrt(abar_t), sqrt(1 - abar_t), and mu and S the mean and covariance of x,

        M = p S + (1 - p) I        u = W_D mu        v = q u + b_D
        d L       = <W_D M, W_D> + (p - q^2) |u|^2 + |v|^2 - 2 k trace(W_D) + d
        dL / dW_D = 2 (W_D M + ((p - q^2) u + q v) mu^T - k I) / d
        dL / db_D = 2 v / d

    So value and gradient need W_D M alone: through the rows, two products of n d^2, or through M, which is
    symmetric (5/8 n d^2) and one of d^3. A drawn eps would give the same in the mean, with variance.

    Args:
        weight: W_D, (d, d).
        bias: b_D, (d,); None is zero.
        rows: (n, d) features, of the dtype of ``weight``; constants.
        mixing: p, q and k.

    Returns:
        A scalar with a gradient for W_D and b_D, which cannot be differentiated again.
    """
    return _ExpectedL2.apply(weight, bias, rows, mixing)


class _ExpectedL2(Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, rows: Tensor, mixing: Mixing) -> Tensor:
        p, q, k = mixing
        count, d = rows.shape
        mean = rows.mean(0)
        rows = rows - mean
        if count < d:
            product = torch.addmm(weight, (rows @ weight.T).T, rows, beta=1 - p, alpha=p / count)
        else:
            moments = sum_of_outer_products(rows).mul_(p / count)
            moments.diagonal().add_(1 - p)
            product = weight @ moments  # W_D M
        u = weight @ mean
        v = q * u if bias is None else q * u + bias
        total = weight.flatten().dot(product.flatten()) - 2 * k * weight.trace() + d
        total += (p - q**2) * u.dot(u) + v.dot(v)
        product.addr_((p - q**2) * u + q * v, mean)
        product.diagonal().sub_(k)
        ctx.gradients, ctx.factor = (product, None if bias is None else v), 2 / d
        return total / d

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError("the gradient of this loss is given away once; compute the loss again")
        # Given away, so that the parameters can keep them without a copy.
        (weight, bias), ctx.gradients = ctx.gradients, None
        factor = grad * ctx.factor
        return weight.mul_(factor), bias if bias is None else bias.mul_(factor), None, None

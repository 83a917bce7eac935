"""Layers with a denoiser inside, and the plain layers they fold into."""

from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

from reid.denoise.denoiser import Denoiser


class DenoisedLinear(nn.Linear):
    """A linear layer that denoises its input: Y = W X' + b, with X' = A X + c.

    A and c are the denoiser's reverse steps as one affine map, :meth:`Denoiser.as_affine`. The layer folds
    exactly into a plain linear one:

        W' = W A        b' = b + W c

    For one step this is W' = W / sqrt(a_t) - C1(t) W W_D and b' = b - C1(t) W b_D (the paper's Eq. 7 with
    the factor 1/sqrt(a_t) of its Eq. 5).

    Args:
        linear: The layer to wrap; weight and bias are shared with it, not copied.
        denoiser: Works on ``in_features`` channels.

    Raises:
        ValueError: If the denoiser's width differs from ``in_features``, or it has a bias and ``linear``
            has none.
    """

    def __init__(self, linear: nn.Linear, denoiser: Denoiser) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        if len(denoiser.weight) != linear.in_features:
            raise ValueError(
                f"the denoiser has {len(denoiser.weight)} channels, the input {linear.in_features}"
            )
        if linear.bias is None and denoiser.bias is not None:
            raise ValueError(
                "a linear layer without a bias takes a denoiser without one: nothing could hold W b_D"
            )
        self.denoiser = denoiser
        _share(self, linear)

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return super().forward(self.denoiser(input))

    def plain(self) -> nn.Linear:
        """The layer without its denoiser; weight and bias are shared."""
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        return _share(layer, self)

    @torch.no_grad()
    def fuse(self) -> nn.Linear:
        """The plain layer that computes the same; this one stays as it is.

        Raises:
            ValueError: If a fused weight is not finite.
        """
        matrix, constant = self.denoiser.as_affine()
        weight = self.weight.double()
        bias = None if self.bias is None else self.bias.double() + weight @ constant
        return _set(self.plain(), weight @ matrix, bias)


class DenoisedConv2d(nn.Conv2d):
    """A convolution that denoises its output: Y' = A Y + c over the output channels, with Y = conv(X).

    A and c are the denoiser's reverse steps as one affine map, :meth:`Denoiser.as_affine`. On this side the
    layer folds exactly for any padding, stride and dilation:

        W'[o] = sum_p A[o, p] W[p]        b' = A b + c

    A denoiser on the input side would not: zero padding comes after it in one graph and before it in the
    other. A convolution without a bias gets one when c is not zero; ``fuse_denoisers`` moves it on into
    the BatchNorm behind.

    Args:
        conv: The layer to wrap; weight and bias are shared with it, not copied. Not grouped.
        denoiser: Works on ``out_channels`` channels, with ``channel_dim=-3``.
        batch_norm: The way from this layer to the BatchNorm that alone reads its output, such as ``../bn1``;
            None where there is none or the convolution has a bias of its own.

    Raises:
        ValueError: If the convolution is grouped or the denoiser's width differs from ``out_channels``.
    """

    def __init__(self, conv: nn.Conv2d, denoiser: Denoiser, batch_norm: str | None = None) -> None:
        super().__init__(conv.in_channels, conv.out_channels, **_conv_options(conv))
        if conv.groups != 1:
            raise ValueError(f"a grouped convolution cannot be denoised, got groups={conv.groups}")
        if len(denoiser.weight) != conv.out_channels:
            raise ValueError(
                f"the denoiser has {len(denoiser.weight)} channels, the output {conv.out_channels}"
            )
        self.denoiser = denoiser
        _share(self, conv)
        self.batch_norm = batch_norm

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H', W')."""
        return self.denoiser(super().forward(input))

    def plain(self) -> nn.Conv2d:
        """The layer without its denoiser; weight and bias are shared."""
        return _share(nn.Conv2d(self.in_channels, self.out_channels, **_conv_options(self)), self)

    @torch.no_grad()
    def fuse(self) -> nn.Conv2d:
        """The plain layer that computes the same; this one stays as it is.

        Raises:
            ValueError: If a fused weight is not finite.
        """
        matrix, constant = self.denoiser.as_affine()
        weight = torch.einsum("op,pikl->oikl", matrix, self.weight.double())
        bias = constant if self.denoiser.bias is not None else None
        if self.bias is not None:
            bias = matrix @ self.bias.double() + constant
        return _set(self.plain(), weight, bias)


L = TypeVar("L", nn.Linear, nn.Conv2d)

DenoisedLayer: TypeAlias = DenoisedLinear | DenoisedConv2d


def denoised_layers(model: nn.Module) -> dict[str, DenoisedLayer]:
    """Every denoised layer of a model by name, in the order of registration."""
    return {name: m for name, m in model.named_modules() if isinstance(m, DenoisedLinear | DenoisedConv2d)}


def _conv_options(conv: nn.Conv2d) -> dict:
    """The arguments that make a convolution of the same kind, without memory for its weights."""
    names = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    return {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None, "device": "meta"}


def _share(layer: L, source: nn.Linear | nn.Conv2d) -> L:
    """Give ``layer`` the parameters and the mode of ``source``.

    Raises:
        ValueError: If a parametrization, weight_norm, spectral_norm or pruning computes one of them.
    """
    if not {"weight", "bias"} <= set(source._parameters):
        raise ValueError("its weight or bias is computed from other parameters; undo that first")
    layer.weight = source.weight
    layer.register_parameter("bias", cast("nn.Parameter | None", source.bias))
    return layer.train(source.training)


def _set(layer: L, weight: Tensor, bias: Tensor | None) -> L:
    """Replace the parameters of ``layer`` by new ones in its own dtype; refuse what is not finite."""
    dtype, requires_grad = layer.weight.dtype, layer.weight.requires_grad
    for kind, value in (("weight", weight), ("bias", bias)):
        # Laid out like a loaded weight, or kernels may round differently. contiguous() would not do: it takes
        # a 1x1 kernel's odd strides for contiguous.
        stored = None if value is None else value.to(dtype).clone(memory_format=torch.contiguous_format)
        if stored is not None and not stored.isfinite().all():
            raise ValueError(f"the fused {kind} is not finite in {dtype}; the denoiser has diverged")
        setattr(layer, kind, None if stored is None else nn.Parameter(stored, requires_grad))
    return layer

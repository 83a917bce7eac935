"""Put a denoiser into chosen layers of any network, and take it out again."""

import copy
import logging
import posixpath
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from torch import Tensor, nn

from reid.denoise.dataflow import Dataflow, read_dataflow
from reid.denoise.denoiser import Denoiser
from reid.denoise.feature import DenoisedFeature
from reid.denoise.layers import DenoisedConv2d, DenoisedLayer, DenoisedLinear, denoised_layers
from reid.denoise.names import group_names
from reid.denoise.schedule import NoiseSchedule
from reid.denoise.targets import choose_layers
from reid.denoise.timesteps import first_timesteps

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=nn.Module)


def attach_denoisers(
    model: M,
    targets: str | Sequence[str] = "mlp",
    schedule: NoiseSchedule | None = None,
    steps: int = 1,
    t_rule: str | int = "depth",
    strength: float = 1.0,
) -> M:
    r"""Return a copy of ``model`` whose chosen layers each carry a denoiser.

    With N layers in forward order, layer i (from 0) runs by default the reverse steps

        t = steps (N - i), ..., steps (N - i) - steps + 1

    so t falls with depth to 1 at the last layer (Algorithms 1 and 2 of the paper; several steps take several
    t each); :func:`first_timesteps` has the other rules. Linear layers are denoised on their input,
    convolutions on their output. A layer without a bias, and without a BatchNorm right behind it to take the
    constant, gets a denoiser without b_D, because the fused layer could not hold W b_D under the plain
    model's keys.

    Args:
        model: Any network; left as it was.
        targets: ``mlp``, ``attn``, ``conv``, ``all``, or regular expressions for whole layer names.
        schedule: The noise schedule; the paper's by default.
        steps: Reverse steps a layer.
        t_rule: Where each layer's steps begin: ``depth``, ``spread``, or one t for all as number or text.
        strength: How much of the denoising is applied, in [0, 1]; see :class:`Denoiser`.

    Returns:
        A copy with the plain keys and, for each layer, ``denoiser.weight`` and perhaps ``denoiser.bias``.
        The new denoisers are zero; they follow the device, dtype and mode of their layers.

    Raises:
        ValueError: If no layer matches, one that was asked for cannot be denoised or has hooks, the model
            cannot be copied, a step would leave the schedule, or the strength is outside its range.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> [layer.denoiser.timesteps for layer in denoised_layers(attach_denoisers(model, r"\d")).values()]
        [(2,), (1,)]
    """
    schedule = schedule or NoiseSchedule()
    flow = read_dataflow(model)
    names = choose_layers(model, targets, flow)
    firsts = first_timesteps(len(names), steps, schedule.timesteps, t_rule)
    model = copy_model(model)
    for name, t in zip(names, firsts, strict=True):
        make = partial(Denoiser, t=t, steps=steps, schedule=schedule, strength=strength)
        wrapped = _wrap(model.get_submodule(name), make, _way_to_batch_norm(flow, name))
        model = swap_layer(model, name, wrapped)
    unbiased = [name for name, layer in denoised_layers(model).items() if layer.denoiser.bias is None]
    if unbiased:
        logger.info(
            "denoisers without a constant (no bias to fold it into): %s", ", ".join(group_names(unbiased))
        )
    return model


def _wrap(layer: nn.Module, make: Callable[..., Denoiser], batch_norm: str | None) -> DenoisedLayer:
    if isinstance(layer, nn.Linear):
        denoiser = make(layer.in_features, bias=layer.bias is not None)
        return DenoisedLinear(layer, denoiser.to(layer.weight))
    assert isinstance(layer, nn.Conv2d)  # choose_layers returns nothing else
    bias = layer.bias is not None or batch_norm is not None
    denoiser = make(layer.out_channels, bias=bias, channel_dim=-3)
    return DenoisedConv2d(layer, denoiser.to(layer.weight), batch_norm if layer.bias is None else None)


def _way_to_batch_norm(flow: Dataflow, name: str) -> str | None:
    """A relative path, because the model may become a part of a larger one before it is fused."""
    if name not in flow.batch_norm:
        return None
    return posixpath.relpath(flow.batch_norm[name].replace(".", "/"), name.replace(".", "/"))


def detach_denoisers(model: M) -> M:
    """Return a copy without denoisers: the plain layers, and networks, with the weights they have.

    This is the baseline of a model whose backbone stayed frozen, not the fused model.
    """
    model = copy_model(model)
    for name, layer in denoised_layers(model).items():
        model = swap_layer(model, name, layer.plain())
    for name, module in list(model.named_modules()):
        if isinstance(module, DenoisedFeature):
            model = swap_layer(model, name, module.network)
    return model


def denoiser_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters of every denoiser in ``model`` and of nothing else."""
    for module in model.modules():
        if isinstance(module, Denoiser):
            yield from module.parameters()


def copy_model(model: M) -> M:
    """A deep copy.

    Raises:
        ValueError: If a module holds a tensor that was computed from parameters, which torch cannot copy.
    """
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                raise ValueError(
                    f"the model cannot be copied: '{key}' of {name or 'the model'} is computed from other"
                    " parameters; undo its weight_norm, spectral_norm or pruning first"
                )
    return copy.deepcopy(model)


def swap_layer(model: M, name: str, layer: nn.Module) -> M:
    """Put ``layer`` in the place called ``name``; return the model, or the layer where it was the model.

    Raises:
        ValueError: If hooks are registered on the layer that goes: they would go with it.
    """
    if any(hooks for key, hooks in vars(model.get_submodule(name)).items() if key.endswith("_hooks")):
        raise ValueError(
            f"{name or 'the layer'} has hooks, which would be lost; remove them and register anew"
        )
    if not name:
        return layer  # type: ignore[return-value]
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)
    return model

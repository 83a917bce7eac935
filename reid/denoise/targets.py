"""Which layers are denoised: named sets and regular expressions, and the layers that cannot be."""

import logging
import re
from collections import Counter
from collections.abc import Sequence

from torch import nn

from reid.denoise.dataflow import Dataflow
from reid.denoise.names import group_names

logger = logging.getLogger(__name__)

MLP = re.compile(r"(^|\.)(mlp|ffn)\.")
ATTENTION = re.compile(r"(^|\.)(attn|attention|self_attn|self_attention)\.")
# Layers that map a feature to classes embed nothing.
HEAD = re.compile(r"(^|\.)(classifier(\..+)?|head|fc)$")

NAMED_SETS = ("mlp", "attn", "conv", "all")


def choose_layers(model: nn.Module, targets: str | Sequence[str], flow: Dataflow) -> list[str]:
    """The layers to denoise, in the order in which they run.

    ``mlp`` and ``attn`` are the linear layers inside modules of those names, ``conv`` every convolution,
    ``all`` every linear layer and convolution but the classification head. Anything else is a regular
    expression that must match a layer's whole name; several targets are united.

    A named set skips layers that cannot be denoised and logs each by name; a regular expression that
    matches one is refused.

    Raises:
        ValueError: If nothing is left, an expression is malformed, or one matches a layer that cannot be
            denoised.
    """
    wanted = [targets] if isinstance(targets, str) else list(targets)
    layers: dict[str, nn.Module] = {
        n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)
    }
    obstacles = _obstacles(model, layers, flow)
    chosen: set[str] = set()
    for target in wanted:
        matched = {name for name, layer in layers.items() if _matches(target, name, layer)}
        blocked = sorted(matched & set(obstacles))
        reasons = _by_reason(blocked, obstacles)
        if blocked and target not in NAMED_SETS:
            raise ValueError(f"'{target}' matches layers that cannot be denoised: {reasons}; exclude them")
        if blocked:
            logger.warning("layers of '%s' left as they are: %s", target, reasons)
        chosen |= matched - set(blocked)
    if not chosen:
        possible = next((name for name in layers if name not in obstacles), None)
        if possible is None:
            raise ValueError(f"no layer to denoise matches {wanted}: the model has none that can be denoised")
        raise ValueError(
            f"no layer to denoise matches {wanted}: use mlp, attn, conv, all or a regular expression for the"
            f" whole name of a layer, such as '{possible}'"
        )
    return [name for name in dict.fromkeys(flow.order) if name in chosen]


def _by_reason(names: list[str], obstacles: dict[str, str]) -> str:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(obstacles[name], []).append(name)
    return "; ".join(f"{', '.join(group_names(same))} ({reason})" for reason, same in found.items())


def _matches(target: str, name: str, layer: nn.Module) -> bool:
    linear = isinstance(layer, nn.Linear)
    if target == "mlp":
        return linear and MLP.search(name) is not None
    if target == "attn":
        return linear and ATTENTION.search(name) is not None
    if target == "conv":
        return not linear
    if target == "all":
        return HEAD.search(name) is None
    try:
        return re.fullmatch(target, name) is not None
    except re.error as error:
        raise ValueError(f"'{target}' is no named set and no regular expression: {error}") from error


def _obstacles(model: nn.Module, layers: dict[str, nn.Module], flow: Dataflow) -> dict[str, str]:
    """Why a layer cannot be denoised, for those that cannot."""
    names = Counter(id(m) for _, m in model.named_modules(remove_duplicate=False))
    weights = Counter(id(p) for m in model.modules() for p in m._parameters.values() if p is not None)
    read_directly = _layers_that_torch_reads_directly(model)
    found = {}
    for name, layer in layers.items():
        base = nn.Linear if isinstance(layer, nn.Linear) else nn.Conv2d
        if hasattr(layer, "denoiser"):
            found[name] = "already denoised"
        elif name in read_directly:
            found[name] = "torch's own attention reads its weight without calling it"
        elif name in flow.uncalled:
            found[name] = "the model's forward pass does not call it"
        elif getattr(layer, "groups", 1) != 1:
            found[name] = f"grouped convolution, groups={layer.groups}"
        elif getattr(layer.forward, "__func__", None) is not base.forward:
            found[name] = f"{type(layer).__name__} with a forward of its own"
        elif not {"weight", "bias"} <= set(layer._parameters):
            found[name] = "its weight or bias is computed from other parameters"
        elif names[id(layer)] > 1:
            found[name] = "one module under several names"
        elif weights[id(layer.weight)] > 1:
            found[name] = "its weight is tied to another layer's"
    return found


def _layers_that_torch_reads_directly(model: nn.Module) -> set[str]:
    """The output projection of torch's attention, and the MLP of its encoder layer with its fused path."""
    found = set()
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.MultiheadAttention):
            found.add(f"{prefix}out_proj")
        elif isinstance(module, nn.TransformerEncoderLayer):
            found |= {f"{prefix}linear1", f"{prefix}linear2"}
    return found

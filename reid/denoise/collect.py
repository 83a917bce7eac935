"""Gather the denoising loss of every layer during a forward pass; nothing stays on the modules."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from reid.denoise.denoiser import Denoiser, denoisers_by_layer

# A layer may lie in a part that is computed again in the backward pass (torch.utils.checkpoint), when nobody
# collects: the graph of its loss is kept instead. Detached, or what an operation returned would hold itself.
OWN_GRAPH = saved_tensors_hooks(lambda kept: kept.detach(), lambda kept: kept)


class DenoiseLosses(dict[str, Tensor]):
    """Scalar losses by the name of their layer."""

    @property
    def total(self) -> Tensor:
        """Their sum, a scalar, Eq. 11 of the paper.

        Raises:
            ValueError: If no denoiser has run yet.
        """
        if not self:
            raise ValueError("no denoiser has run: call the model inside the with block first")
        return torch.stack(list(self.values())).sum()


@contextmanager
def collect_denoise_loss(
    model: nn.Module,
    kind: str = "l2",
    generator: torch.Generator | None = None,
    share: float = 1.0,
    plain: bool = False,
) -> Iterator[DenoiseLosses]:
    """Collect the loss of each denoiser that runs inside the ``with`` block.

        with collect_denoise_loss(model) as losses:
            model(images)
        losses.total.backward()

    The losses carry a gradient for the denoisers also under ``torch.no_grad()``, so a label-free step runs
    the backbone without a graph. A layer that runs several times in the block adds up.

    Args:
        model: A model with denoisers.
        kind: ``l1``, ``l2`` or ``l1+l2``, see :meth:`Denoiser.loss`.
        generator: Draws the noise and the positions; torch's own by default.
        share: Of each layer's positions, drawn anew at each call, on which its loss is computed.
        plain: Whether every denoiser hands its features on as they are. Then the output and the features are
            those of the plain network, as for :func:`solve_denoisers`, whose optimum training approaches;
            and a label-free step costs the plain forward pass and the losses.

    Raises:
        ValueError: If the model has no denoisers, or is in another plain block.
        RuntimeError: At the end of the block, if a denoiser did not run in it: something reads its layer's
            weight without calling the layer, which the denoiser cannot see.
    """
    denoisers = denoisers_by_layer(model)
    if not denoisers:
        raise ValueError("the model has no denoisers; call attach_denoisers first")
    losses = DenoiseLosses()

    def watch(name: str, denoiser: Denoiser) -> Callable[..., None]:
        def add(module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
            (features,) = (*args, *options.values())
            # Tensors of inference mode can be measured but never carry a gradient.
            with torch.set_grad_enabled(not torch.is_inference_mode_enabled()), OWN_GRAPH:
                loss = denoiser.loss(features, kind, generator, share)
                # The sum too, or a layer's second call would end its gradient.
                losses[name] = losses[name] + loss if name in losses else loss

        return add

    with ExitStack() as stack:
        for name, denoiser in denoisers.items():
            if plain:
                if "forward" in vars(denoiser):
                    raise ValueError("losses are collected plainly already: blocks cannot be nested")
                stack.callback(delattr, denoiser, "forward")
                denoiser.forward = _hand_on  # type: ignore[method-assign]
            hook = watch(name or "model", denoiser)
            stack.enter_context(denoiser.register_forward_pre_hook(hook, with_kwargs=True))
        yield losses
    missing = sorted({name or "model" for name in denoisers} - set(losses))
    if missing:
        raise RuntimeError(
            f"denoised layers that did not run: {', '.join(missing)}; leave them out of targets"
        )


def _hand_on(features: Tensor) -> Tensor:
    """Stands in for the reverse steps."""
    return features

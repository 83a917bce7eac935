"""Gather the denoising loss of every layer during a forward pass; nothing stays on the modules."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from reid.denoise.denoiser import Denoiser, denoisers_by_layer


class DenoiseLosses(dict[str, Tensor]):
    """Scalar losses by the name of their layer."""

    @property
    def total(self) -> Tensor:
        """Their sum, Eq. 11 of the paper.

        Raises:
            ValueError: If no denoiser has run yet.
        """
        if not self:
            raise ValueError("no denoiser has run: call the model inside the with block first")
        return torch.stack(list(self.values())).sum()


@contextmanager
def collect_denoise_loss(
    model: nn.Module, kind: str = "l1", generator: torch.Generator | None = None
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
        generator: Draws the noise; torch's own by default.

    Raises:
        ValueError: If the model has no denoisers.
        RuntimeError: At the end of the block, if a denoiser did not run in it: something reads its layer's
            weight without calling the layer, which the denoiser cannot see.
    """
    denoisers = {name or "model": denoiser for name, denoiser in denoisers_by_layer(model).items()}
    if not denoisers:
        raise ValueError("the model has no denoisers; call attach_denoisers first")
    losses = DenoiseLosses()

    def add(name: str, denoiser: Denoiser, args: tuple[Any, ...]) -> None:
        # Tensors of inference mode can be measured but never carry a gradient.
        with torch.set_grad_enabled(not torch.is_inference_mode_enabled()):
            loss = denoiser.loss(args[0], kind, generator)
            # The sum too, or a layer's second call would end its gradient.
            losses[name] = losses[name] + loss if name in losses else loss

    handles = [
        denoiser.register_forward_pre_hook(lambda module, args, name=name: add(name, module, args))
        for name, denoiser in denoisers.items()
    ]
    try:
        yield losses
    finally:
        for handle in handles:
            handle.remove()
    missing = sorted(set(denoisers) - set(losses))
    if missing:
        raise RuntimeError(
            f"denoised layers that did not run: {', '.join(missing)}; leave them out of targets"
        )

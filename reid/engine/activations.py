"""Memory for time: blocks of a network keep their inputs alone and are computed again for the gradient."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


@contextmanager
def recompute_blocks(blocks: Iterable[nn.Module]) -> Iterator[None]:
    """Train ``blocks`` in less memory inside the ``with`` block.

        with recompute_blocks(blocks_of(backbone)):
            loss(backbone(images)).backward()

    A call that builds a graph keeps the block's inputs. Where the backward pass needs what lies behind them,
    it computes the block again, with the same random numbers. Results, gradients and BatchNorm's statistics
    are the same bits as without. A call that builds no graph is left as it is.

    The model is not changed for good: each block's ``forward`` is another one until the ``with`` block ends,
    however it ends. Hooks on a block run once a call; those on its parts run in both passes, while they last.

    Args:
        blocks: None of them in another, or that one is computed three times.
    """
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(_put_back, block, vars(block).get("forward"))
            block.forward = _recomputed(block)
        yield


def _put_back(block: nn.Module, own: Callable[..., Any] | None) -> None:
    """Take away the instance's ``forward``, under which its class has one; ``own`` is what it had before."""
    del block.forward
    if own is not None:
        block.forward = own


def _recomputed(block: nn.Module) -> Callable[..., Any]:
    """The block's ``forward``, with its inputs kept in place of its activations."""
    forward = block.forward

    def call(*args: Any, **options: Any) -> Any:
        values = (*args, *options.values())
        if not _builds_graph(block, values):
            return forward(*args, **options)
        return checkpoint(
            _by_place(forward, len(args), tuple(options)),
            *values,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _SpareStatistics(block)),
        )

    return call


def _builds_graph(block: nn.Module, values: tuple[Any, ...]) -> bool:
    given = (value for value in values if isinstance(value, Tensor))
    return torch.is_grad_enabled() and any(x.requires_grad for x in (*given, *block.parameters()))


def _by_place(forward: Callable[..., Any], count: int, names: tuple[str, ...]) -> Callable[..., Any]:
    """``forward`` of ``count`` inputs and of the inputs ``names``, all given by place.

    Of inputs by name, torch would not notice that they have changed, nor restore their GPU's random state.
    """
    return lambda *values: forward(*values[:count], **dict(zip(names, values[count:], strict=True)))


class _SpareStatistics:
    """While entered, a block's norms write their running statistics into copies, for the first pass counted.

    To switch the statistics off would not do: they are among what the first pass saved for the backward pass.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block = block
        self.own: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        norms = [module for module in self.block.modules() if isinstance(module, _NormBase)]
        self.own = [(norm, *named) for norm in norms for named in norm.named_buffers(recurse=False)]
        for norm, name, value in self.own:
            setattr(norm, name, value.clone())

    def __exit__(self, *reason: object) -> None:
        for norm, name, value in self.own:
            setattr(norm, name, value)

"""How long models take for an image, compared fairly on one machine."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from reid.evaluation.features import evaluation_mode
from reid.utils import InputError


@dataclass(frozen=True)
class LatencyResult:
    """The time one model takes.

    Args:
        median_ms_per_image: Median over the rounds, in milliseconds.
        ratio_to_first: Median over the rounds of this model's time over the first model's in the same round;
            1 for the first.
    """

    median_ms_per_image: float
    ratio_to_first: float


def measure_latency(
    models: dict[str, nn.Module],
    images: Tensor,
    *,
    sides: Mapping[str, Tensor] | None = None,
    rounds: int = 20,
    warmup: int = 3,
) -> dict[str, LatencyResult]:
    """Time the models in turn on one batch.

    Every round times each model once, and each round begins with another model. So a clock that slows
    down, or a neighbour on the machine, meets all of them, and ratios within a round stay meaningful where
    absolute times drift. A model with ``embed`` is timed through it, as retrieval goes that way; any other
    through its forward. All run in evaluation mode without gradients; a GPU is waited for.

    Args:
        models: By name, on the device of ``images``; the first is the one that ratios refer to.
        images: (B, 3, H, W).
        sides: What ``embed`` is given beside the images, by name, such as ``camids`` (B,).
        rounds: Timed calls of each model.
        warmup: Untimed calls of each model before that.

    Raises:
        InputError: If there is no model, no image, no round, or a negative warm-up.
    """
    if not models or len(images) == 0 or rounds < 1 or warmup < 0:
        raise InputError(
            "timing needs at least one model, image and round and a warm-up of 0 or more, got "
            f"{len(models)} models, {len(images)} images, {rounds} rounds, warm-up {warmup}"
        )
    calls = {name: partial(_embedding_call(model, sides or {}), images) for name, model in models.items()}
    with evaluation_mode(*models.values()), torch.inference_mode():
        seconds = time_in_turns(calls, rounds, images.device, warmup)
    first, *_ = seconds.values()
    return {
        name: LatencyResult(
            median_ms_per_image=1000 * median(times) / len(images),
            ratio_to_first=median(own / base for own, base in zip(times, first, strict=True)),
        )
        for name, times in seconds.items()
    }


def time_in_turns(
    calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of each call in each round, which begins with another call from one round to the next.

    Args:
        calls: By name.
        rounds: Timed calls of each.
        device: What the calls compute on; a GPU is waited for.
        warmup: Untimed calls of each before that.
    """
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for call in calls.values():
        for _ in range(warmup):
            call()
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            seconds[name].append(_time_call(calls[name], device))
    return seconds


def _embedding_call(model: nn.Module, sides: Mapping[str, Tensor]) -> Callable[[Tensor], object]:
    embed = getattr(model, "embed", None)
    return model if embed is None else partial(embed, **sides)


def _time_call(call: Callable[[], object], device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    call()
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    """Let queued GPU work finish; on the CPU a call returns when its work is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

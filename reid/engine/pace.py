"""How fast a run goes, how much GPU memory it takes, and how long the rest of it will take."""

import time
from collections.abc import Iterable, Sequence
from statistics import median

import torch

# What one evaluation is called beside the names of phases.
EVALUATION = "evaluation"


class Pace:
    """The speed of an epoch, and the most memory that its tensors took, since this object was made.

    Args:
        device: Where it is computed; only a GPU tells its memory.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.start = device, time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def figures(self, count: int) -> dict[str, float]:
        """``images_per_s`` of ``count`` images, ``seconds``, and on a GPU ``gpu_memory_mb``.

        Loading counts as time. Memory is the peak of what this process has allocated, in units of 1,000,000
        bytes; the driver's own tools show more, for they count what torch keeps for later.
        """
        seconds = time.perf_counter() - self.start
        figures: dict[str, float] = {
            "images_per_s": round(count / seconds, 1),
            "seconds": round(seconds, 3),
        }
        if self.device.type == "cuda":
            figures["gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(self.device) / 1e6)
        return figures


class TimeLeft:
    """How long the rest of a run takes, from what this process has done of it.

        left = sum over everything to come of the median seconds of its kind

    The kinds are the phases, whose epochs cost differently, and evaluations. An epoch of a phase that was not
    seen yet counts as the median of all epochs; an evaluation counts once one was seen. A median, because an
    epoch in which the machine slept says nothing of the others.

    Args:
        phases: The name of the phase of each epoch of the whole run; empty where it is passed over.
        evaluated: The epochs, from 1, that an evaluation follows.
    """

    def __init__(self, phases: Sequence[str], evaluated: Iterable[int]) -> None:
        self.phases, self.evaluated = phases, sorted(evaluated)
        self.seen: dict[str, list[float]] = {}

    def add(self, kind: str, seconds: float) -> None:
        """Take note of an epoch of the phase ``kind``, or of an evaluation."""
        self.seen.setdefault(kind, []).append(seconds)

    def after(self, epoch: int) -> float:
        """The seconds that are left after ``epoch``, before its evaluation; one epoch must have been seen."""
        usual = median(s for kind, found in self.seen.items() if kind != EVALUATION for s in found)
        typical = {kind: median(found) for kind, found in self.seen.items()}
        evaluations = sum(number >= epoch for number in self.evaluated)
        epochs = sum(typical.get(phase, usual) for phase in self.phases[epoch:] if phase)
        return epochs + evaluations * typical.get(EVALUATION, 0.0)


def in_gigabytes(megabytes: float) -> str:
    """GPU memory in words."""
    return f"{megabytes / 1000:.1f} GB"


def bar_words(losses: dict[str, float], lr: float, figures: dict[str, float]) -> dict[str, str]:
    """What a progress bar shows of an epoch so far: its losses, learning rate, speed and GPU memory.

    Args:
        losses: Means by part.
        lr: Learning rate.
        figures: Of :class:`Pace`.
    """
    words = {name: f"{value:.3f}" for name, value in losses.items()}
    words |= {"lr": f"{lr:.2e}", "images/s": f"{figures['images_per_s']:.1f}"}
    if "gpu_memory_mb" in figures:
        words["GPU"] = in_gigabytes(figures["gpu_memory_mb"])
    return words

"""The learning rate of every parameter group in every epoch of a stage: a cosine, or steps."""

import math
from dataclasses import dataclass

import torch

# What the ends of a cosine are of the base rate.
START, MINIMUM = 0.01, 0.002


@dataclass(frozen=True)
class Cosine:
    """TransReID's schedule: linear warm-up, then a cosine that ends at a minimum.

        t < warmup:   r = s + (peak - s) t / warmup                    s = 0.01 base_lr
        otherwise:    r = m + (peak - m) (1 + cos(pi t / epochs)) / 2  m = 0.002 base_lr
        epochs = 1:   r = peak: there is no time to rise or to fall
        peak = 0:     r = 0: the group is not trained

    t is the epoch, counted from 1 (0 where the schedule is stepped at the end). s and m are one rate for all
    groups, whatever their peaks: biases of twice the rate start and end where the weights do. The cosine
    counts from the first epoch, so the rate steps down where the warm-up ends.

    Source: He et al., "TransReID", ICCV 2021, and its release, stepped at the start of an epoch;
    TransReID-SSL's and DenoiseRep's releases step at its end. The last two lines are ours.

    Args:
        base_lr: The rate that the start and the minimum are fractions of.
        warmup: Epochs of warm-up.
        stepped_at_end: Whether the rate changes after an epoch instead of before it, so that every epoch
            runs one step behind: the first at s, or without warm-up at the peak.
    """

    base_lr: float
    warmup: int = 0
    stepped_at_end: bool = False

    def rate(self, peak: float, epoch: int, epochs: int) -> float:
        """The rate in ``epoch`` (from 1) of ``epochs``, of a group that rises to ``peak``.

        Raises:
            ValueError: If ``epoch`` is outside 1..epochs.
        """
        t = _steps(epoch, epochs, self.stepped_at_end)
        if epochs == 1 or peak == 0:
            return peak
        start, minimum = START * self.base_lr, MINIMUM * self.base_lr
        return warmup_cosine(peak, start, minimum, t, self.warmup, epochs)


@dataclass(frozen=True)
class MultiStep:
    """Linear warm-up from a share of the peak; at each milestone the rate is multiplied by gamma.

        r = peak w(t) gamma^n(t)          n(t): how many milestones are <= t
        t < warmup:   w(t) = factor + (1 - factor) t / warmup
        otherwise:    w(t) = 1

    t is as in :class:`Cosine`. Here all scales with the peak. CLIP-ReID's second stage steps at the start of
    an epoch, TransReID-SSL's other schedule at its end. fast-reid's differs in two ways: its warm-up counts
    iterations, and its milestones count from the end of the warm-up.

    Args:
        milestones: Steps t at which the rate falls, rising.
        gamma: What it is multiplied by.
        warmup: Epochs of warm-up.
        warmup_factor: What it starts from, of the peak.
        stepped_at_end: Whether the rate changes after an epoch instead of before it.
    """

    milestones: tuple[int, ...]
    gamma: float = 0.1
    warmup: int = 0
    warmup_factor: float = 0.1
    stepped_at_end: bool = False

    def rate(self, peak: float, epoch: int, epochs: int) -> float:
        """The rate in ``epoch`` (from 1) of ``epochs``, of a group that rises to ``peak``.

        Raises:
            ValueError: If ``epoch`` is outside 1..epochs.
        """
        t = _steps(epoch, epochs, self.stepped_at_end)
        rate = peak * self.gamma ** sum(milestone <= t for milestone in self.milestones)
        if t < self.warmup:
            rate *= self.warmup_factor + (1 - self.warmup_factor) * t / self.warmup
        return rate


Schedule = Cosine | MultiStep


def set_learning_rate(optimizer: torch.optim.Optimizer, schedule: Schedule, epoch: int, epochs: int) -> None:
    """Set every group's rate to the one of its ``peak_lr`` in ``epoch`` (from 1) of ``epochs``."""
    for group in optimizer.param_groups:
        group["lr"] = schedule.rate(group["peak_lr"], epoch, epochs)


def warmup_cosine(peak: float, start: float, minimum: float, t: int, warmup: int, epochs: int) -> float:
    """The rate after ``t`` steps: a line from ``start``, then a cosine from the first step to ``minimum``.

    t < warmup:   r = start + (peak - start) t / warmup
    otherwise:    r = minimum + (peak - minimum) (1 + cos(pi t / epochs)) / 2
    """
    if t < warmup:
        return start + (peak - start) * t / warmup
    return minimum + (peak - minimum) * (1 + math.cos(math.pi * t / epochs)) / 2


def _steps(epoch: int, epochs: int, stepped_at_end: bool) -> int:
    """How many steps the schedule has made when ``epoch`` runs."""
    if not 1 <= epoch <= epochs:
        raise ValueError(f"epoch must be in 1..{epochs}, got {epoch}")
    return epoch - stepped_at_end

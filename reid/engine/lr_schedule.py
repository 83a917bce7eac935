"""The learning rate over a stage: linear warm-up, then a cosine."""

import math

import torch

WARMUP_START, FLOOR = 0.01, 0.002


def warmup_cosine(epoch: int, epochs: int, warmup: int) -> float:
    """The factor on the peak learning rate in ``epoch`` (from 1) of ``epochs``.

        e < warmup:  0.01 + 0.99 e / warmup
        otherwise:   0.002 + 0.998 (1 + cos(pi e / epochs)) / 2
        epochs = 1:  1, the peak: there is no time to rise or to fall

    The cosine counts from the first epoch, so the rate steps down where the warm-up ends. Numbers and shape
    are TransReID's; there the two constants are absolute for every group, here they scale with its peak.

    Raises:
        ValueError: If ``epoch`` is outside 1..epochs.
    """
    if not 1 <= epoch <= epochs:
        raise ValueError(f"epoch must be in 1..{epochs}, got {epoch}")
    if epochs == 1:
        return 1.0
    if epoch < warmup:
        return WARMUP_START + (1 - WARMUP_START) * epoch / warmup
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to ``factor`` times its own peak."""
    for group in optimizer.param_groups:
        group["lr"] = factor * group["peak_lr"]

"""A loss that training cannot go on from: how it is told, and which images it came from."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.utils import InputError, write_json

# How many times the usual loss is no longer a loss of training that goes well.
EXPLOSION = 100
# How many images an error names.
NAMED = 3


class LossGuard:
    """Tells a loss that is not finite, or that has exploded.

        loss > 100 max(1, mean)        exploded

    The mean is over the batches of the same phase before it in the stage. The first batch of a phase has
    none before it, so that it can only be not finite. A fixed limit would be wrong: L_denoise is a sum over
    the layers, about 1 each.
    """

    def __init__(self) -> None:
        self.before: dict[str, tuple[float, int]] = {}  # by phase: the sum of the losses, and how many

    def fault(self, phase: str, loss: float) -> str:
        """What is wrong with the loss of a batch, in words; empty where nothing is, and it is kept then."""
        if not math.isfinite(loss):
            return "the loss is not finite"
        total, count = self.before.get(phase, (0.0, 0))
        limit = EXPLOSION * max(1.0, total / count) if count else math.inf
        if loss > limit:
            return f"the loss has exploded (above {limit:.4g}, {EXPLOSION} times max(1, its mean so far))"
        self.before[phase] = (total + loss, count + 1)
        return ""


@dataclass(frozen=True)
class BadBatch:
    """A batch whose loss stops a run.

    Args:
        reason: What is wrong with the loss.
        phase: Of the epoch.
        epoch: In the whole run, from 1.
        iteration: The batch in its epoch, from 1.
        losses: The loss and its parts, the means over the processes.
        files: The images of the batch, those of all processes.
        advice: What to do.
    """

    reason: str
    phase: str
    epoch: int
    iteration: int
    losses: dict[str, float]
    files: list[str]
    advice: str

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file, which has no NaN and no infinity: such losses are text."""
        losses = {n: value if math.isfinite(value) else str(value) for n, value in self.losses.items()}
        return {
            "reason": self.reason,
            "phase": self.phase,
            "epoch": self.epoch,
            "iteration": self.iteration,
            "losses": losses,
            "files": self.files,
        }


class BadBatchError(InputError):
    """The loss of a batch is not finite or has exploded; the message names its first images.

    Args:
        batch: All that is known of it.
        listed: Where all its images are found, in words behind the first ones.
    """

    def __init__(self, batch: BadBatch, listed: str = "") -> None:
        self.batch = batch
        parts = ", ".join(f"{name} {value:g}" for name, value in batch.losses.items())
        names, more = ", ".join(batch.files[:NAMED]), len(batch.files) - NAMED
        super().__init__(
            f"{batch.reason} in epoch {batch.epoch}, iteration {batch.iteration}: {parts}; {batch.advice};"
            f" its images are {names}{f' and {more} more' if more > 0 else ''}{listed}"
        )


def write_bad_batch(batch: BadBatch, path: Path) -> str:
    """Write the batch to ``path`` as JSON; where it is, in words, or why it is nowhere."""
    try:
        write_json(path, batch.as_dict())
    except (OSError, InputError) as error:
        # What stopped the run is not to be hidden by a full disk.
        return f" ({path} could not be written: {error})"
    return f" (all of them in {path})"

"""What overfitting a batch showed: the losses before and after, and whether each fell."""

from dataclasses import dataclass
from typing import Any

from reid.engine.phases import Phase
from reid.engine.trainer import LEARNING_RATES
from reid.evaluation import format_table

RIGHT = "classified_right"
# A fall within the rounding of float32 is none.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Attempt:
    """What the steps of one phase made of the batch.

    Args:
        stage: The name of its stage.
        phase: What was trained.
        before: The loss and its parts before the first step; where there is an identity loss, also the share
            of the images that are classified right.
        after: The same after the last step.
    """

    stage: str
    phase: Phase
    before: dict[str, float]
    after: dict[str, float]

    @property
    def name(self) -> str:
        """The stage, and the phase where a stage has several."""
        return self.stage if self.stage == self.phase.name else f"{self.stage}, {self.phase.name}"

    @property
    def fall(self) -> float:
        """The share of the loss that is gone; negative where it rose."""
        return 1 - self.after["loss"] / self.before["loss"] if self.before["loss"] else 0.0

    @property
    def has_fallen(self) -> bool:
        """Whether the loss fell by more than rounding."""
        return self.fall > ROUNDING

    def verdict(self) -> str:
        """How the loss moved, in words; where it did not fall, what to change."""
        moved = f"{self.name} from {self.before['loss']:.4f} to {self.after['loss']:.4f}"
        if self.has_fallen and self.phase.trains_denoisers:
            return f"{moved} (by {self.fall:.2%})"
        if self.has_fallen:
            return f"{moved} ({'below' if self.fall > 0.5 else 'not below'} half)"
        if not self.before["loss"]:
            return f"{moved}: there is none to lower, check the weights of the losses"
        change = "raise" if self.fall >= -ROUNDING else "lower"
        labels = ", or check the labels" if self.phase.uses_labels else ""
        return f"{moved}: {change} {LEARNING_RATES[self.phase.name]} or take more steps{labels}"


@dataclass(frozen=True)
class OverfitReport:
    """What every kind of phase made of one batch.

    Args:
        attempts: In the order of the run.
        steps: That each of them took.
        num_images: In the batch.
    """

    attempts: list[Attempt]
    steps: int
    num_images: int

    @property
    def is_well(self) -> bool:
        """Whether every loss fell."""
        return all(attempt.has_fallen for attempt in self.attempts)

    def as_text(self) -> str:
        """A table, what it must be read with, and the verdict on the last line."""
        header = ["phase", "figure", "before", f"after {self.steps} steps"]
        rows = [row for attempt in self.attempts for row in _rows(attempt)]
        lines = [
            format_table(header, rows),
            f"one batch of {self.num_images} images, augmented once; every phase starts from the weights that"
            " the run starts from, at its peak learning rate; before and after draw the same noise",
        ]
        if any(attempt.phase.trains_denoisers for attempt in self.attempts):
            lines.append(
                "a denoising loss starts near its maximum (1 a layer with l2, 0.8 with l1) and falls slowly"
                " to a floor that may lie just below: a small fall is a fall"
            )
        return "\n".join([*lines, self.verdict()])

    def verdict(self) -> str:
        """One line: whether every loss fell."""
        fallen = "; ".join(attempt.verdict() for attempt in self.attempts if attempt.has_fallen)
        stuck = "; ".join(attempt.verdict() for attempt in self.attempts if not attempt.has_fallen)
        if not stuck:
            return f"verdict: the loss fell: {fallen}"
        return f"verdict: the loss did not fall: {stuck}{f'; it fell: {fallen}' if fallen else ''}"

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "steps": self.steps,
            "num_images": self.num_images,
            "has_fallen": self.is_well,
            "phases": [
                {
                    "stage": attempt.stage,
                    "phase": attempt.phase.name,
                    "before": attempt.before,
                    "after": attempt.after,
                    "fall": attempt.fall,
                    "has_fallen": attempt.has_fallen,
                }
                for attempt in self.attempts
            ],
        }


def _rows(attempt: Attempt) -> list[list[str]]:
    rows = []
    for part in attempt.before:
        form = "{:.1%}" if part == RIGHT else "{:.4f}"
        cells = [form.format(figures[part]) for figures in (attempt.before, attempt.after)]
        rows.append([attempt.name, part.replace("_", " "), *cells])
    return rows

"""Values over several seeds: their mean and how far they spread."""

from collections.abc import Sequence
from statistics import mean, stdev


def moments(values: Sequence[float]) -> dict[str, float]:
    """``mean``, and ``std``, the sample standard deviation (divisor n - 1) of at least two values."""
    return {"mean": mean(values), "std": stdev(values)}


def spread_cell(values: Sequence[float], form: str = ".2f") -> str:
    """The mean, and behind it the sample standard deviation where there are several values.

    Args:
        values: At least one.
        form: Of the mean; two decimals are kept.

    Example:
        >>> spread_cell([71.0, 73.0]), spread_cell([-0.001], "+.2f")
        ('72.00 ± 1.41', '+0.00')
    """
    # + 0.0: a rounded zero has no sign of its own.
    text = f"{round(mean(values), 2) + 0.0:{form}}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.2f}"

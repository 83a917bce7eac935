"""How sure a difference of two mAPs is: a paired bootstrap over queries."""

from typing import NamedTuple

import numpy as np

from reid.evaluation.evaluator import EvaluationResult
from reid.utils import InputError


class Interval(NamedTuple):
    """A difference of two mAPs, as fractions, and the interval that holds it with 95 % confidence."""

    difference: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the sign of the difference is sure."""
        return self.low > 0 or self.high < 0

    def describe(self) -> str:
        """Word it in points of mAP."""
        difference, low, high = self._points()
        return f"{difference} mAP, 95 % interval {low} to {high}"

    def in_points(self) -> str:
        """The same for a cell of a table."""
        difference, low, high = self._points()
        return f"{difference} ({low} to {high})"

    def _points(self) -> list[str]:
        # + 0.0: a rounded zero has no sign of its own.
        return [f"{round(100 * value, 2) + 0.0:+.2f}" for value in self]


def bootstrap_difference(
    before: EvaluationResult, after: EvaluationResult, *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """MAP of ``after`` minus mAP of ``before`` with its percentile interval.

    Queries are drawn with replacement, in each trial by itself, and both models are scored on the same draw
    (Efron, 1979). What it says is about other queries of the same cameras and gallery, not about another seed
    of training.

    Args:
        before: One model's result.
        after: Another's, on the same trials.
        resamples: Draws of queries.
        seed: Of the draws.

    Raises:
        InputError: If the two were not evaluated on the same queries, or there is no resample.
    """
    if resamples < 1:
        raise InputError(f"a bootstrap needs at least one resample, got {resamples}")
    rng = np.random.default_rng(seed)
    if len(before.trials) != len(after.trials):
        raise InputError("both results must be of the same trials, the numbers of trials differ")
    differences, means = [], []
    for one, other in zip(before.trials, after.trials, strict=True):
        old, new = one.average_precision, other.average_precision
        if old.shape != new.shape or not np.array_equal(np.isnan(old), np.isnan(new)):
            raise InputError("both results must be of the same queries, the evaluated queries differ")
        change = (new - old)[~np.isnan(old)]  # (Q,)
        # One resample at a time: all at once would take resamples x Q numbers.
        means.append([change[rng.integers(0, len(change), len(change))].mean() for _ in range(resamples)])
        differences.append(change.mean())
    low, high = np.quantile(np.mean(means, axis=0), [0.025, 0.975])
    return Interval(float(np.mean(differences)), float(low), float(high))

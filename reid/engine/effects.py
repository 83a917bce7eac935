"""What denoising does to a model, in one table: against its controls, and over several seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from torch.nn import functional as F

from reid.engine.controls import NO_DENOISERS, Outcome
from reid.engine.evaluate import Evaluator
from reid.evaluation import (
    FIGURES,
    EvaluationResult,
    FeatureSet,
    Interval,
    bootstrap_difference,
    format_table,
    moments,
    spread_cell,
)
from reid.models import ReIDModel

COLUMNS = (
    *(f"{figure}, %" for figure in FIGURES),
    "mAP less untouched",
    "mAP less no denoisers",
    "weight change: denoisers",
    "in all",
    "1 - cosine to untouched",
)


@dataclass(frozen=True)
class Effect:
    """One model beside the untouched one.

    Args:
        result: Its metrics.
        gain: Its mAP less that of the untouched model, with its interval over queries.
        over_schedule: Likewise, less that of the same schedule without denoisers; None without this control.
        fusion_change: Mean over the denoised layers of |W'-W|/|W|, what fusing its denoisers changes; None
            without denoisers.
        total_change: |W-W0|/|W0| over all parameters that embed, fused, against the untouched model.
        turn: Mean over the test images of 1 - the cosine of its feature and the untouched model's.
    """

    result: EvaluationResult
    gain: Interval
    over_schedule: Interval | None
    fusion_change: float | None
    total_change: float
    turn: float

    def as_dict(self) -> dict[str, Any]:
        """For machines: metrics as fractions."""
        return self.result.as_dict() | {
            "mAP_gain": self.gain.difference,
            "mAP_gain_interval": [self.gain.low, self.gain.high],
            "mAP_over_schedule": self.over_schedule and self.over_schedule.difference,
            "mAP_over_schedule_interval": self.over_schedule and [*self.over_schedule[1:]],
            "fusion_change": self.fusion_change,
            "total_change": self.total_change,
            "cosine_to_untouched": 1 - self.turn,
        }


def measure_effects(
    outcomes: Iterable[Outcome], evaluators: dict[str, Evaluator]
) -> dict[str, dict[str, Effect]]:
    """Evaluate models on the same images.

    Args:
        outcomes: The untouched model first; one at a time, as they may not fit into memory together.
        evaluators: By the data sets' names.

    Returns:
        By the data set, then the model's name.

    Raises:
        InputError: If an image cannot be read or a feature is not finite.
    """
    effects: dict[str, dict[str, Effect]] = {name: {} for name in evaluators}
    untouched: dict[str, tuple[FeatureSet, EvaluationResult]] = {}
    weights: dict[str, torch.Tensor] = {}
    for outcome in outcomes:
        weights = weights or _weights(outcome.model)
        changed = _relative_change(_weights(outcome.model), weights)
        for name, evaluator in evaluators.items():
            features = evaluator.extract(outcome.model)
            result = evaluator.evaluate(features)
            first, before = untouched.setdefault(name, (features, result))
            schedule = result if outcome.name == NO_DENOISERS else None
            if NO_DENOISERS in effects[name]:
                schedule = effects[name][NO_DENOISERS].result
            effects[name][outcome.name] = Effect(
                result,
                bootstrap_difference(before, result),
                bootstrap_difference(schedule, result) if schedule else None,
                mean(outcome.changes.values()) if outcome.changes else None,
                changed,
                mean_turn(features.feats, first.feats),
            )
    return effects


def mean_turn(features: torch.Tensor, others: torch.Tensor) -> float:
    """Mean over images of 1 - the cosine of two features (N, d); where one is zero the cosine is 0.

        1 - cos(a, b) = |a / |a| - b / |b||^2 / 2

    In float64: in float32 the cosines of features that a denoiser hardly turns are all 1.
    """
    a, b = (F.normalize(feats.double()) for feats in (features, others))
    is_zero = ~(a.any(1) & b.any(1))
    return float(((a - b).square().sum(1) / 2).masked_fill(is_zero, 1).mean())


def effects_table(runs: Sequence[dict[str, Effect]]) -> str:
    """The effects of one run, or the mean and the sample standard deviation over several seeds.

    Metrics are in %, the gain in points of mAP with its 95 % interval over queries, or with the deviation
    over seeds; changes and 1 - cosine are means.

    Args:
        runs: By the model's name; the same names in each.
    """
    rows = [[name, *_cells([effects[name] for effects in runs])] for name in runs[0]]
    return format_table(["model", *COLUMNS], rows)


def effects_as_dict(by_seed: dict[int, dict[str, Effect]]) -> dict[str, Any]:
    """For machines: the models of each seed, and their mean and standard deviation over several seeds."""
    runs = [{name: effect.as_dict() for name, effect in effects.items()} for effects in by_seed.values()]
    found: dict[str, Any] = {"seeds": dict(zip(map(str, by_seed), runs, strict=True))}
    if len(runs) > 1:
        found["models"] = {
            name: {key: moments([run[name][key] for run in runs]) for key in (*FIGURES.values(), "mAP_gain")}
            for name in runs[0]
        }
    return found


def _cells(effects: Sequence[Effect]) -> list[str]:
    figures = [
        spread_cell([100 * effect.result.as_dict()[key] for effect in effects]) for key in FIGURES.values()
    ]
    changes = [effect.fusion_change for effect in effects if effect.fusion_change is not None]
    return [
        *figures,
        _gain([effect.gain for effect in effects]),
        _gain([effect.over_schedule for effect in effects]),
        f"{mean(changes):.1e}" if changes else "",
        f"{mean(effect.total_change for effect in effects):.1e}",
        f"{mean(effect.turn for effect in effects):.1e}",
    ]


def _gain(intervals: Sequence[Interval | None]) -> str:
    """A difference in points of mAP with its interval, or over several seeds with its deviation."""
    known = [interval for interval in intervals if interval is not None]
    if not known:
        return ""
    if len(known) == 1:
        return known[0].in_points()
    return spread_cell([100 * interval.difference for interval in known], "+.2f")


def _weights(model: ReIDModel) -> dict[str, torch.Tensor]:
    """The parameters that embed, which every row has."""
    return {
        name: parameter.detach().cpu()
        for name, parameter in model.named_parameters()
        if name.startswith(("backbone.", "reduction."))
    }


def _relative_change(after: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> float:
    """|W - W0| / |W0| over all of them together."""
    apart = sum(
        float((after[name].double() - value.double()).square().sum()) for name, value in before.items()
    )
    whole = sum(float(value.double().square().sum()) for value in before.values())
    return (apart / whole) ** 0.5

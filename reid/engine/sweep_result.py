"""What a sweep found: rows of settings beside the untouched model, the best of them, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from reid.evaluation import FIGURES, EvaluationResult, Interval, Table, figure_cells
from reid.evaluation.intensity import Mark
from reid.models import DenoiseSpec
from reid.models.words import denoise_keys, denoise_words, describe_denoise

TURN = "1 - cosine to untouched"
OPTIMISTIC = "it was picked with the test labels in sight, so its figure is optimistic: expect less elsewhere"
# What the picture calls the fields of a setting.
WORDS = {"targets": "layers", "t_rule": "t rule", "beta_end": "last beta", "beta_start": "first beta"}


@dataclass(frozen=True, eq=False)
class Measured:
    """A setting on one data set.

    Args:
        result: Its metrics.
        gain: Its mAP less that of the untouched model, with its interval over queries.
        turn: Mean over the test images of 1 - the cosine of its feature and the untouched model's.
    """

    result: EvaluationResult
    gain: Interval
    turn: float


@dataclass(frozen=True, eq=False)
class Point:
    """A setting of the denoising.

    Args:
        spec: The setting.
        seconds: For all of it.
        change: Mean over the denoised layers of |W'-W|/|W|; None where it failed.
        measured: By the data set; empty where it failed.
        fault: Why it failed; empty where it did not.
    """

    spec: DenoiseSpec
    seconds: float
    change: float | None
    measured: Mapping[str, Measured]
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Sweep:
    """All settings on all data sets.

    Args:
        points: In the order in which they were measured.
        untouched: The metrics of the model without denoising, by the data set.
        seconds: For measuring that model.
        protocols: By the data set, one line that says what its figures can be compared with.
    """

    points: Sequence[Point]
    untouched: Mapping[str, EvaluationResult]
    seconds: float
    protocols: Mapping[str, str]

    def best(self, name: str) -> tuple[int, bool]:
        """The number of the best setting on a data set, and whether it beats the untouched model.

        A setting beats it where the interval of their difference in mAP lies above 0. The best is the one of
        the highest mAP among those that do, or among all where none does; of equal ones the first. Number 0
        is the untouched model, where no setting could be measured.
        """
        gains = {n: p.measured[name].gain for n, p in enumerate(self.points, 1) if p.measured}
        sure = {number: gain for number, gain in gains.items() if gain.low > 0}
        among = sure or gains
        return max(among, key=lambda number: among[number].difference, default=0), bool(sure)

    def as_text(self) -> str:
        """For every data set its table, then what it must be read with."""
        lines = []
        for name in self.untouched:
            lines += [self.table(name).as_text(), *self.notes(name)]
        lines += [
            f"{number} failed: {point.fault}" for number, point in enumerate(self.points, 1) if point.fault
        ]
        return "\n".join(lines)

    def table(self, name: str) -> Table:
        """The untouched model, then a row a setting."""
        header = ["setting", "weight change", TURN, *FIGURES, "mAP less untouched", "seconds"]
        rows = [["0 untouched", "", "", *figure_cells(self.untouched[name]), "", f"{self.seconds:.1f}"]]
        for number, point in enumerate(self.points, 1):
            found, cells = point.measured.get(name), ["failed"] + [""] * (len(FIGURES) + 2)
            if found is not None:
                facts = [f"{point.change:.1e}", f"{found.turn:.1e}"]
                cells = [*facts, *figure_cells(found.result), found.gain.in_points()]
            rows.append([f"{number} {describe_denoise(point.spec)}", *cells, f"{point.seconds:.1f}"])
        return Table(name if len(self.untouched) > 1 else "", header, rows)

    def notes(self, name: str) -> list[str]:
        """How to read the table, and its best setting, a line each.

        With the words that repeat it, where it lies above the untouched model at all.
        """
        lines = [
            f"protocol: {self.protocols[name]}",
            "weight change: mean |W'-W|/|W| over the denoised layers; 1 - cosine: mean, to the"
            " untouched features; mAP less untouched: points, with their 95 % interval over queries (paired"
            " bootstrap)",
        ]
        number, is_better = self.best(name)
        if number == 0:
            return [*lines, "no setting could be measured"]
        point = self.points[number - 1]
        found = f"{number}, {describe_denoise(point.spec)}, {point.measured[name].gain.describe()}"
        if point.measured[name].gain.difference <= 0:
            return [*lines, f"none lies above the untouched model; the highest is {found}"]
        none = (
            "no setting beats the untouched model by more than the interval of the difference; the highest is"
        )
        return [
            *lines,
            f"best: {found}" if is_better else f"{none} {found}",
            f"{OPTIMISTIC} (the best of {len(self.points)})",
            "to repeat it, with tools/sweep.py --build OUT.pth or tools/train.py DENOISE.MODE label_free:"
            f" {denoise_words(point.spec)}",
        ]

    def marks(self, name: str) -> list[Mark]:
        """What the picture shows of each setting that was measured."""
        found = []
        for number, (point, group) in enumerate(zip(self.points, self._groups(), strict=True), 1):
            if point.measured and point.change is not None:
                one = point.measured[name]
                figures = (one.result.mean_ap, float(one.result.cmc[0]), one.turn)
                found.append(Mark(number, group, point.change, *figures, one.gain))
        return found

    def as_dict(self) -> dict[str, Any]:
        """For machines, of the one data set, or of several by their names: metrics as fractions."""
        figures = {name: self._as_dict(name) for name in self.untouched}
        return figures if len(figures) > 1 else figures.popitem()[1]

    def _as_dict(self, name: str) -> dict[str, Any]:
        number, is_better = self.best(name)
        return {
            "protocol": self.protocols[name],
            "untouched": self.untouched[name].as_dict() | {"seconds": self.seconds},
            "points": [self._point_as_dict(point, name) for point in self.points],
            "best": number,
            "best_beats_untouched": is_better,
            "best_picked_on_test_labels": True,
        }

    def _point_as_dict(self, point: Point, name: str) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "setting": describe_denoise(point.spec),
            "keys": denoise_keys(point.spec),
            "weight_change": point.change,
            "seconds": point.seconds,
            "fault": point.fault or None,
        }
        if found := point.measured.get(name):
            gain = {"mAP_gain": found.gain.difference, "mAP_gain_interval": [*found.gain[1:]]}
            facts |= found.result.as_dict() | gain | {"cosine_to_untouched": 1 - found.turn}
        return facts

    def _groups(self) -> list[str]:
        """For each setting what sets it apart from the first; its layers where more than one thing does."""
        own = self.points[0].spec
        changed = [
            [f.name for f in fields(own) if getattr(point.spec, f.name) != getattr(own, f.name)]
            for point in self.points
        ]
        if any(len(names) > 1 for names in changed):
            return [" + ".join(point.spec.targets) for point in self.points]
        return [WORDS.get(names[0], names[0]) if names else "own setting" for names in changed]

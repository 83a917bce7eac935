"""What a comparison found: rows of models, and what they must be read with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, NamedTuple

from reid.engine.flags import FlagDifference
from reid.evaluation import (
    FIGURES,
    EvaluationResult,
    FeatureSet,
    Interval,
    LatencyResult,
    Table,
    figure_cells,
)
from reid.evaluation.camera_pairs import CameraPairs, camera_table

# Cameras whose pairs fit onto a terminal's line.
NARROW = 8


@dataclass(frozen=True, eq=False)
class Row:
    """One model of the comparison.

    Args:
        result: Its metrics.
        features: Of all test images.
        latency: Milliseconds an image, and the ratio to the first row.
        num_parameters: Of the part that embeds.
        flops: Of the products and convolutions for one image; a multiply-add is two.
        gain: Its mAP less that of the first row, with its interval over queries; None in the first row.
    """

    result: EvaluationResult
    features: FeatureSet
    latency: LatencyResult
    num_parameters: int
    flops: int
    gain: Interval | None = None

    def as_dict(self) -> dict[str, Any]:
        """For machines: metrics as fractions."""
        return self.result.as_dict() | {
            "ms_per_image": self.latency.median_ms_per_image,
            "latency_ratio": self.latency.ratio_to_first,
            "num_parameters": self.num_parameters,
            "flops": self.flops,
            "mAP_gain": self.gain and self.gain.difference,
            "mAP_gain_interval": self.gain and [self.gain.low, self.gain.high],
        }


class FeatureDifference(NamedTuple):
    """How far the features of two models are apart.

    Args:
        largest: Largest |a - b| over largest |b|, of single numbers.
        mean: Mean |a - b| over mean |b|, of single numbers.
    """

    largest: float
    mean: float


class BaselineCosine(NamedTuple):
    """How alike the denoised and the baseline feature of an image are, and what that is held against.

    Args:
        mean: Over the images.
        lowest: Likewise.
        between: Mean cosine of the baseline features of two different images: where it is near 1, all are.
    """

    mean: float
    lowest: float
    between: float


@dataclass(frozen=True)
class HardQuery:
    """A query that the last model answers badly.

    Args:
        path: Of the image, below the data set's folder.
        pid: Its identity.
        camera: The number of its camera; -1 unknown.
        num_matches: True matches in the gallery.
        average_precision: By the model's name, of the first row and the last.
    """

    path: str
    pid: int
    camera: int
    num_matches: int
    average_precision: dict[str, float]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows by name, and how far the models are apart.

    Args:
        backbone: The name that all models share.
        rows: Baseline first.
        fused_difference: Of fused and unfused features; None without denoisers that fuse.
        baseline_cosine: Of denoised and baseline features; None without denoisers.
        weight_changes: |W'-W|/|W| by layer; empty without denoisers.
        protocol: One line that says what the figures can be compared with.
        inference: What each flag of inference does to the last model's features; empty in eager float32.
        camera_pairs: Of the first row and the last, without re-ranking, by the row's name, then by the
            cameras' numbers; empty where there are no pairs, or too many.
        hardest: Queries of the first trial, the lowest average precision first.
        retrained: Rows whose weights without denoisers are not those of the first row.
        num_trials: That the figures are means over.
    """

    backbone: str
    rows: dict[str, Row]
    fused_difference: FeatureDifference | None
    baseline_cosine: BaselineCosine | None
    weight_changes: dict[str, float]
    protocol: str
    inference: dict[str, FlagDifference] = field(default_factory=dict)
    camera_pairs: dict[str, CameraPairs] = field(default_factory=dict)
    hardest: Sequence[HardQuery] = ()
    retrained: Sequence[str] = ()
    num_trials: int = 1

    def as_text(self) -> str:
        """The table for reading, then what it must be read with, then what it is made of."""
        first, *details = self.tables()
        narrow = [table.as_text() for table in details if len(table.header) <= 1 + NARROW]
        return "\n".join([first.as_text(), *self.notes(), *narrow])

    def tables(self) -> list[Table]:
        """The comparison, the pairs of cameras, the hardest queries; those that there are."""
        return [self._models(), *self._cameras(), *self._hardest()]

    def notes(self) -> list[str]:
        """What the first table must be read with, a line each."""
        lines = [f"protocol: {self.protocol}"]
        if len(self.rows) > 1:
            lines.append(
                f"mAP less {next(iter(self.rows))}: in points, with its 95 % interval over queries (paired"
                " bootstrap), which says nothing of another seed"
            )
        if self.retrained:
            lines.append(
                f"trained further than {next(iter(self.rows))}: {', '.join(self.retrained)}; what that gains"
                " is not denoising's (train.py --controls tells them apart)"
            )
        lines.append(
            "ms/image: one pass, timed in turns; x: median over the rounds of the ratio within a round;"
            " GFLOPs: products and convolutions, a multiply-add is 2"
        )
        if self.fused_difference is not None:
            largest, average = self.fused_difference
            lines.append(
                f"feature difference fused to unfused, relative: largest {largest:.1e}, mean {average:.1e}"
            )
        if self.baseline_cosine is not None:
            average, low, between = self.baseline_cosine
            lines.append(
                f"cosine of denoised to baseline features: mean {average:.6f}, lowest {low:.6f}; of baseline"
                f" features of different images: mean {between:.6f}"
            )
        if self.weight_changes:
            changes = self.weight_changes.values()
            lines.append(
                f"weight change |W'-W|/|W| by the denoisers alone over {len(changes)} layers:"
                f" mean {mean(changes):.1e}, largest {max(changes):.1e}"
            )
        return lines + [flag.as_text(name) for name, flag in self.inference.items()]

    def as_dict(self) -> dict[str, Any]:
        """The same for machines: metrics as fractions."""
        return {
            "protocol": self.protocol,
            "models": {name: row.as_dict() | {"protocol": self.protocol} for name, row in self.rows.items()},
            "fused_difference": self.fused_difference and self.fused_difference.largest,
            "fused_difference_mean": self.fused_difference and self.fused_difference.mean,
            "baseline_cosine_mean": self.baseline_cosine and self.baseline_cosine.mean,
            "baseline_cosine_min": self.baseline_cosine and self.baseline_cosine.lowest,
            "baseline_cosine_between_images": self.baseline_cosine and self.baseline_cosine.between,
            "weight_changes": self.weight_changes,
            "inference": {name: flag.as_dict() for name, flag in self.inference.items()},
            "camera_pairs": {
                name: [
                    {
                        "query": a,
                        "gallery": b,
                        "mAP": pair.mean_ap,
                        "R1": pair.rank1,
                        "num_query": pair.num_query,
                    }
                    for (a, b), pair in pairs.items()
                ]
                for name, pairs in self.camera_pairs.items()
            },
            "hardest": [vars(query) for query in self.hardest],
        }

    def _models(self) -> Table:
        first, *others = self.rows
        header = ["model", *FIGURES, *([f"mAP less {first}"] if others else [])]
        rows = []
        for name, row in self.rows.items():
            gain = [row.gain.in_points() if row.gain else ""] if others else []
            time = [f"{row.latency.median_ms_per_image:.2f}", f"{row.latency.ratio_to_first:.3f}"]
            size = [f"{row.num_parameters / 1e6:.2f} M", f"{row.flops / 1e9:.3f}"]
            rows.append([name, *figure_cells(row.result), *gain, *time, *size])
        return Table("", [*header, "ms/image", f"x {first}", "parameters", "GFLOPs"], rows)

    def _cameras(self) -> list[Table]:
        if not self.camera_pairs:
            return []
        first, last = next(iter(self.camera_pairs)), list(self.camera_pairs)[-1]
        words = f"mAP of {last} by cameras, %, each in one camera's gallery, without re-ranking"
        if first == last:
            return [camera_table(self.camera_pairs[last], None, words)]
        words += f"; in brackets less {first}, points"
        return [camera_table(self.camera_pairs[last], self.camera_pairs[first], words)]

    def _hardest(self) -> list[Table]:
        if not self.hardest:
            return []
        names = list(self.hardest[0].average_precision)
        header = [
            "query image",
            "identity",
            "camera",
            "true matches",
            *(f"AP of {name}, %" for name in names),
        ]
        rows = [
            [
                query.path,
                query.pid,
                "" if query.camera < 0 else query.camera,
                query.num_matches,
                *(f"{100 * query.average_precision[name]:.1f}" for name in names),
            ]
            for query in self.hardest
        ]
        first = f" in the first of {self.num_trials} trials" if self.num_trials > 1 else ""
        return [Table(f"hardest queries of {names[-1]}{first}", header, rows)]

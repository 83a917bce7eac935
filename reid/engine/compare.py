"""The comparison: baseline, + DenoiseRep unfused, + DenoiseRep fused, on the same images in one run."""

from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reid.denoise import denoised_layers, denoisers_by_layer, fuse_denoisers, weight_change
from reid.engine.evaluate import Evaluator
from reid.engine.flags import FlagDifference, flag_differences, relative_difference
from reid.evaluation import (
    FIGURES,
    EvaluationResult,
    FeatureSet,
    LatencyResult,
    figure_cells,
    format_table,
    measure_latency,
)
from reid.models import ReIDModel
from reid.models.inference import InferenceOptions, prepare_for_inference

BASELINE, UNFUSED, FUSED = "baseline", "+ DenoiseRep unfused", "+ DenoiseRep fused"
FINAL_FEATURE = "+ DenoiseRep-"
TIMED_IMAGES = 16
FLAG_IMAGES = 128  # that the flags of inference are compared on
CLASSIFIERS = ("classifier.", "part_classifiers.")


@dataclass(frozen=True, eq=False)
class Row:
    """One model of the comparison.

    Args:
        result: Its metrics.
        features: Of all test images.
        latency: Milliseconds an image, and the ratio to the baseline.
        num_parameters: Of the part that embeds.
    """

    result: EvaluationResult
    features: FeatureSet
    latency: LatencyResult
    num_parameters: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows by name, and how far the models are apart.

    Args:
        backbone: The name that all models share.
        rows: Baseline first.
        fused_difference: Largest |fused - unfused| over largest |unfused|; None without denoisers that fuse.
        baseline_cosine: Mean and smallest cosine of denoised and baseline features; None without denoisers.
        weight_changes: |W'-W|/|W| by layer; empty without denoisers.
        protocol: One line that says what the figures can be compared with.
        inference: What each flag of inference does to the last model's features; empty in eager float32.
    """

    backbone: str
    rows: dict[str, Row]
    fused_difference: float | None
    baseline_cosine: tuple[float, float] | None
    weight_changes: dict[str, float]
    protocol: str
    inference: dict[str, FlagDifference] = field(default_factory=dict)

    def as_text(self) -> str:
        """The table for reading, then what it must be read with."""
        header = ["model", *FIGURES, "ms/image", "x baseline", "parameters"]
        cells = []
        for name, row in self.rows.items():
            time = [f"{row.latency.median_ms_per_image:.2f}", f"{row.latency.ratio_to_first:.3f}"]
            cells.append([name, *figure_cells(row.result), *time, f"{row.num_parameters / 1e6:.2f} M"])
        lines = [format_table(header, cells), f"protocol: {self.protocol}"]
        if self.fused_difference is not None:
            lines.append(
                f"largest feature difference fused to unfused, relative: {self.fused_difference:.1e}"
            )
        if self.baseline_cosine is not None:
            average, low = self.baseline_cosine
            changes = self.weight_changes.values()
            lines += [
                f"cosine of denoised to baseline features: mean {average:.6f}, lowest {low:.6f}",
                f"weight change |W'-W|/|W| over {len(self.weight_changes)} layers:"
                f" mean {mean(changes):.1e}, largest {max(changes):.1e}",
            ]
        lines += [flag.as_text(name) for name, flag in self.inference.items()]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The same for machines: metrics as fractions."""
        return {
            "protocol": self.protocol,
            "models": {
                name: row.result.as_dict()
                | {
                    "ms_per_image": row.latency.median_ms_per_image,
                    "latency_ratio": row.latency.ratio_to_first,
                    "num_parameters": row.num_parameters,
                    "protocol": self.protocol,
                }
                for name, row in self.rows.items()
            },
            "fused_difference": self.fused_difference,
            "baseline_cosine_mean": self.baseline_cosine and self.baseline_cosine[0],
            "baseline_cosine_min": self.baseline_cosine and self.baseline_cosine[1],
            "weight_changes": self.weight_changes,
            "inference": {name: flag.as_dict() for name, flag in self.inference.items()},
        }


def compare(
    model: ReIDModel,
    baseline: ReIDModel | None,
    evaluator: Evaluator,
    rounds: int = 9,
    *,
    is_fused: bool = False,
    options: InferenceOptions | None = None,
) -> Comparison:
    """Evaluate and time a model against its baseline, and its fused form against both.

    Args:
        model: With denoisers: three rows, or two where they denoise the final feature (DenoiseRep-), and
            ``baseline`` is needed. Without: a row of its own beside that of ``baseline``, or the baseline's
            row where there is no other.
        baseline: The model before denoising, if known.
        evaluator: Test images and protocol.
        rounds: Timed rounds; the models take turns in each.
        is_fused: Whether a model without denoisers was fused from one with them.
        options: How all of them run; plainly by default.

    Raises:
        InputError: If an image cannot be read, a feature is not finite, or a model cannot be compiled.
    """
    options = options or InferenceOptions()
    models = {} if baseline is None else {BASELINE: baseline}
    if denoised_layers(model):
        models |= {UNFUSED: model, FUSED: fuse_denoisers(model)}
    elif denoisers_by_layer(model):
        models[FINAL_FEATURE] = model
    elif is_fused:
        models[FUSED] = model
    else:
        models["model" if models else BASELINE] = model
    flags = options.describe()
    # Any: a prepared copy stands in for its model in all that follows.
    running: dict[str, Any] = {
        name: prepare_for_inference(m, options) if flags else m for name, m in models.items()
    }
    features = {name: evaluator.extract(m) for name, m in running.items()}
    batches = _first_batches(evaluator, FLAG_IMAGES if flags else TIMED_IMAGES)
    images, camids, viewids = batches[0]
    sides = {"camids": camids, "viewids": viewids}
    latencies = measure_latency(running, images, sides=sides, rounds=rounds)
    rows = {
        name: Row(evaluator.evaluate(features[name]), features[name], latencies[name], count_parameters(m))
        for name, m in models.items()
    }
    difference = cosine = None
    if UNFUSED in features:
        difference = relative_difference(features[FUSED].feats, features[UNFUSED].feats)
    if denoisers_by_layer(model):
        first, *_, last_feats = (found.feats for found in features.values())
        cosines = F.cosine_similarity(last_feats, first)
        cosine = (float(cosines.mean()), float(cosines.min()))
    last = list(models.values())[-1].to(evaluator.device)
    return Comparison(
        backbone=model.spec.name,
        rows=rows,
        fused_difference=difference,
        baseline_cosine=cosine,
        weight_changes=weight_change(model),
        protocol=evaluator.protocol(model).describe() + (f", {flags}" if flags else ""),
        inference=flag_differences(last, options, batches),
    )


def row_name(stage: str, is_fusable: bool) -> str:
    """What the tables call the model at the end of a stage of training."""
    return BASELINE if stage == "baseline" else UNFUSED if is_fusable else FINAL_FEATURE


def count_parameters(model: ReIDModel) -> int:
    """Parameters of the embedding; the classifiers are for training only."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(CLASSIFIERS))


def _first_batches(evaluator: Evaluator, count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The first ``count`` test images with cameras and views, on the device, as many a batch as are timed."""
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    for batch in evaluator.loader:
        columns.append((batch.images, batch.camids, batch.viewids))
        if sum(len(images) for images, *_ in columns) >= count:
            break
    whole = [torch.cat(column)[:count].to(evaluator.device) for column in zip(*columns, strict=True)]
    images, camids, viewids = (column.split(TIMED_IMAGES) for column in whole)
    return list(zip(images, camids, viewids, strict=True))

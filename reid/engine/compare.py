"""The comparison: baseline, + DenoiseRep-, + DenoiseRep unfused and fused, on the same images in one run."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reid.data.matches import count_matches
from reid.denoise import (
    denoised_layers,
    denoisers_by_layer,
    fuse_denoisers,
    weight_change,
)
from reid.engine.comparison import BaselineCosine, Comparison, FeatureDifference, HardQuery, Row
from reid.engine.evaluate import Evaluator
from reid.engine.flags import flag_differences, relative_difference
from reid.evaluation import (
    FeatureSet,
    bootstrap_difference,
    count_flops,
    evaluate_camera_pairs,
    measure_latency,
)
from reid.evaluation.camera_pairs import CameraPairs
from reid.models import ReIDModel
from reid.models.inference import InferenceOptions, prepare_for_inference

BASELINE, UNFUSED, FUSED = "baseline", "+ DenoiseRep unfused", "+ DenoiseRep fused"
ADAPTED = "adapted"
FINAL_FEATURE = "+ DenoiseRep-"
TIMED_IMAGES = 16
FLAG_IMAGES = 128  # that the flags of inference are compared on
HARDEST = 10  # queries that are named
CLASSIFIERS = ("classifier.", "part_classifiers.")


def compare(
    model: ReIDModel,
    baseline: ReIDModel | None,
    evaluator: Evaluator,
    rounds: int = 9,
    *,
    is_fused: bool = False,
    is_adapted: bool = False,
    final_only: ReIDModel | None = None,
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
        is_adapted: Whether a model without denoisers, fused or not, was adapted to a site.
        final_only: Another that denoises the final feature alone: the row DenoiseRep-, behind the baseline's.
        options: How all of them run; plainly by default.

    Raises:
        InputError: If an image cannot be read, a feature is not finite, or a model cannot be compiled.
    """
    options = options or InferenceOptions()
    models = {} if baseline is None else {BASELINE: baseline}
    if final_only is not None and models:
        models[FINAL_FEATURE] = final_only
    if denoised_layers(model):
        models |= {UNFUSED: model, FUSED: fuse_denoisers(model)}
    elif denoisers_by_layer(model):
        models[FINAL_FEATURE] = model
    elif is_fused and not is_adapted:
        models[FUSED] = model
    else:
        models[ADAPTED if is_adapted else "model" if models else BASELINE] = model
    if final_only is not None:
        models.setdefault(FINAL_FEATURE, final_only)
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
    results = {name: evaluator.evaluate(found) for name, found in features.items()}
    first, last = next(iter(models)), list(models)[-1]
    rows = {
        name: Row(
            results[name],
            features[name],
            latencies[name],
            count_parameters(m),
            count_flops(m, images),
            None if name == first else bootstrap_difference(results[first], results[name]),
        )
        for name, m in models.items()
    }
    difference = cosine = None
    if UNFUSED in features:
        difference = _difference(features[FUSED].feats, features[UNFUSED].feats)
    if denoisers_by_layer(model):
        cosine = _cosine(features[last].feats, features[first].feats)
    pairs = {name: _evaluate_pairs(features[name], evaluator) for name in dict.fromkeys((first, last))}
    return Comparison(
        backbone=model.spec.name,
        rows=rows,
        fused_difference=difference,
        baseline_cosine=cosine,
        weight_changes=weight_change(model),
        protocol=evaluator.protocol(model).describe() + (f", {flags}" if flags else ""),
        inference=flag_differences(models[last].to(evaluator.device), options, batches),
        camera_pairs=pairs if pairs[last] else {},
        hardest=_find_hardest({name: rows[name] for name in pairs}, evaluator),
        retrained=[name for name in (FINAL_FEATURE, UNFUSED) if _is_retrained(models, name, first)],
        num_trials=len(evaluator.dataset.trials),
    )


def _is_retrained(models: dict[str, ReIDModel], name: str, first: str) -> bool:
    """Whether a model that has denoisers differs from the first in what else embeds."""
    if name not in models or name == first:
        return False
    # Denoisers leave the plain keys as they are, and add their own.
    after, before = models[name].state_dict(), models[first].state_dict()
    return any(
        not torch.equal(after[key].cpu(), value.cpu())
        for key, value in before.items()
        if key in after and key.startswith(("backbone.", "reduction."))
    )


def _cosine(denoised: Tensor, baseline: Tensor) -> BaselineCosine:
    """Of features (N, D); the mean over pairs of different rows u_i, u_j of length 1 by their sum.

    mean of <u_i, u_j> over i != j = (|sum of u_i|^2 - N) / (N (N - 1))
    """
    cosines = F.cosine_similarity(denoised, baseline)
    unit, count = F.normalize(baseline.double()), len(baseline)
    between = (unit.sum(0).square().sum() - unit.square().sum()) / (count * (count - 1))
    return BaselineCosine(float(cosines.mean()), float(cosines.min()), float(between))


def _difference(a: Tensor, b: Tensor) -> FeatureDifference:
    return FeatureDifference(relative_difference(a, b), float((a - b).abs().mean() / b.abs().mean()))


def _evaluate_pairs(features: FeatureSet, evaluator: Evaluator) -> CameraPairs:
    """By the numbers that people give the cameras."""
    dataset = evaluator.dataset
    pairs = evaluate_camera_pairs(features, dataset.trials, metric=evaluator.metric)
    return {(dataset.camera_number(a), dataset.camera_number(b)): pair for (a, b), pair in pairs.items()}


def _find_hardest(rows: dict[str, Row], evaluator: Evaluator) -> list[HardQuery]:
    """The queries of the first trial with the lowest average precision under the last of ``rows``."""
    records, trial = evaluator.dataset.test, evaluator.dataset.trials[0]
    found = {name: row.result.trials[0].average_precision for name, row in rows.items()}
    last = list(found.values())[-1]
    matches = count_matches(records, trial)
    order = np.argsort(last, kind="stable")[: min(HARDEST, int((~np.isnan(last)).sum()))]  # NaN comes last
    return [
        HardQuery(
            path=str(records.paths[trial.query[place]]),
            pid=int(records.pids[trial.query[place]]),
            camera=evaluator.dataset.camera_number(records.camids[trial.query[place]]),
            num_matches=int(matches[place]),
            average_precision={name: float(values[place]) for name, values in found.items()},
        )
        for place in order
    ]


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

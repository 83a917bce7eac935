"""The intensity sweep: settings of the denoising, each solved from statistics, fused and evaluated once."""

import time
from collections.abc import Mapping, Sequence
from statistics import mean

from tqdm import tqdm

from reid.denoise import Moments, fuse_denoisers, solve_denoisers, weight_change
from reid.engine.effects import mean_turn
from reid.engine.evaluate import Evaluator
from reid.engine.sweep_result import Measured, Point, Sweep
from reid.evaluation import EvaluationResult, FeatureSet, bootstrap_difference
from reid.models import DenoiseSpec, ReIDModel
from reid.models.inference import InferenceOptions, prepare_for_inference
from reid.utils import refresh_interval


def sweep(
    model: ReIDModel,
    specs: Sequence[DenoiseSpec],
    statistics: Mapping[str, Moments],
    evaluators: Mapping[str, Evaluator],
    options: InferenceOptions | None = None,
) -> Sweep:
    """Measure the untouched model and each setting of the denoising on the same images.

    A setting costs one feature pass a data set, and one factorisation a layer. One that cannot be attached,
    solved or fused, or whose features are not finite, is a row that says so.

    Args:
        model: Without denoisers; it is moved to the evaluators' device and else left as it was.
        specs: The settings, at least one.
        statistics: Of the plain features of every layer.
        evaluators: By the data sets' names.
        options: How all models run; plainly by default.

    Raises:
        InputError: If an image cannot be read, or a feature of the untouched model is not finite.
    """
    options = options or InferenceOptions()
    start = time.perf_counter()
    before = {}
    for name, evaluator in evaluators.items():
        model.to(evaluator.device)
        features = _extract(model, evaluator, options)
        before[name] = (features, evaluator.evaluate(features))
    seconds = time.perf_counter() - start
    bar = tqdm(specs, desc="points", unit="point", mininterval=refresh_interval())
    flags = options.describe()
    return Sweep(
        points=[_measure(spec, model, statistics, evaluators, before, options) for spec in bar],
        untouched={name: result for name, (_, result) in before.items()},
        seconds=seconds,
        protocols={
            name: evaluator.protocol(model).describe() + (f", {flags}" if flags else "")
            for name, evaluator in evaluators.items()
        },
    )


def build_fused(
    model: ReIDModel, spec: DenoiseSpec, statistics: Mapping[str, Moments]
) -> tuple[ReIDModel, float]:
    """The denoised model at the plain one's cost, and the mean over its layers of |W'-W|/|W|.

    Raises:
        ValueError: If the denoisers cannot be attached, the statistics lack a layer or their rounding is
            not small beside the noise, or a fused weight is not finite.
    """
    denoised = solve_denoisers(spec.attach(model), statistics)
    fused = fuse_denoisers(denoised)
    return fused, mean(weight_change(denoised, fused).values())


def _measure(
    spec: DenoiseSpec,
    model: ReIDModel,
    statistics: Mapping[str, Moments],
    evaluators: Mapping[str, Evaluator],
    before: Mapping[str, tuple[FeatureSet, EvaluationResult]],
    options: InferenceOptions,
) -> Point:
    start = time.perf_counter()
    try:
        fused, change = build_fused(model, spec, statistics)
        measured = {}
        for name, evaluator in evaluators.items():
            features = _extract(fused, evaluator, options)
            result = evaluator.evaluate(features)
            plain, untouched = before[name]
            turn = mean_turn(features.feats, plain.feats)
            measured[name] = Measured(result, bootstrap_difference(untouched, result), turn)
    except ValueError as error:
        return Point(spec, time.perf_counter() - start, None, {}, str(error))
    return Point(spec, time.perf_counter() - start, change, measured)


def _extract(model: ReIDModel, evaluator: Evaluator, options: InferenceOptions) -> FeatureSet:
    # Any: a prepared copy stands in for its model.
    running = prepare_for_inference(model, options) if options.describe() else model
    return evaluator.extract(running, progress=False)  # type: ignore[arg-type]

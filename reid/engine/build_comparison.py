"""From files of weights to comparisons: one run's, those of several seeds, or those of a sweep."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid.config import with_values
from reid.data import merge_training
from reid.denoise import Moments, denoised_layers, denoisers_by_layer
from reid.engine.build_data import (
    build_dataset,
    build_datasets,
    build_evaluators,
    build_plain_loader,
    build_reranking,
)
from reid.engine.closed_form import gather, weights_key
from reid.engine.compare import FINAL_FEATURE, compare
from reid.engine.evaluate import Evaluator
from reid.engine.illustrate import illustrate
from reid.engine.load import load_baseline, load_for_test, load_plain
from reid.engine.over_seeds import average
from reid.engine.report import write_report
from reid.engine.run_folder import BASELINE, DENOISED, STATISTICS
from reid.engine.side import knows_cameras_of
from reid.engine.sweep import build_fused, sweep
from reid.engine.sweep_plan import layers_of, plan_sweep
from reid.engine.sweep_statistics import StatisticsFiles
from reid.evaluation.intensity import draw_intensity
from reid.models import DenoiseSpec, Header, ReIDModel, save_checkpoint
from reid.models.build import build_denoise_spec
from reid.models.inference import InferenceOptions
from reid.models.words import denoise_keys, describe_denoise
from reid.utils import InputError, pick_device, progress_bar

REPORT, SWEEP = "report.html", "sweep.png"


@dataclass(frozen=True)
class ModelFiles:
    """What is compared.

    Args:
        weights: The model.
        baseline: The model before denoising; None looks for one beside ``weights``.
        final_only: A model that denoises the final feature alone (DenoiseRep-); None leaves the row out.
    """

    weights: Path
    baseline: Path | None = None
    final_only: Path | None = None


@dataclass(frozen=True)
class Tested:
    """What was found.

    Args:
        text: For reading.
        figures: For machines: of the one data set, or of several by their names; metrics are fractions.
    """

    text: str
    figures: dict[str, Any]


def compare_files(cfg: CfgNode, files: ModelFiles, *, pictures: bool) -> Tested:
    """Evaluate files of weights on the data sets of ``cfg``.

    Args:
        cfg: The evaluation, and where pictures go.
        files: What is evaluated.
        pictures: Whether the report and the pictures are drawn.

    Raises:
        InputError: If a file cannot be used, or there is nothing to evaluate on.
    """
    build_reranking(cfg)  # refuses before anything is read
    model, header = load_for_test(cfg, files.weights)
    is_fused = header.state == "fused"
    baseline, source = load_baseline(cfg, model, files.weights, files.baseline, is_fused=is_fused)
    final_only = None if files.final_only is None else _load_final_only(cfg, files.final_only, model)
    evaluators = _evaluators(cfg, header)
    options = _inference(cfg)
    comparisons = {
        name: compare(
            *(model, baseline, evaluator),
            is_fused=is_fused,
            is_adapted=header.is_adapted,
            final_only=final_only,
            options=options,
        )
        for name, evaluator in evaluators.items()
    }
    lines = [*(comparison.as_text() for comparison in comparisons.values()), f"baseline: {source}"]
    if files.final_only is not None:
        lines.append(f"{FINAL_FEATURE}: {files.final_only}")
    for name, comparison in comparisons.items() if pictures else ():
        folder = _folder(cfg, name, len(comparisons))
        drawn = illustrate(comparison, evaluators[name], folder)
        write_report(comparison, evaluators[name], folder / REPORT)
        lines.append(f"report: {folder / REPORT}; pictures: {', '.join(map(str, drawn))}")
    figures: dict[str, Any] = {name: comparison.as_dict() for name, comparison in comparisons.items()}
    if len(figures) == 1:
        figures = figures.popitem()[1]
    return Tested("\n".join(lines), figures | {"baseline": source, "weights": str(files.weights)})


def sweep_files(
    cfg: CfgNode,
    weights: Path,
    statistics: Path | None,
    lists: Mapping[str, Sequence[Any]],
    *,
    combine: bool = False,
) -> Tested:
    """Measure settings of the closed-form denoising on the data sets of ``cfg``, and draw ``sweep.png``.

    Args:
        cfg: The evaluation, the setting in the middle, the training images where statistics are gathered, and
            where what is made goes.
        weights: Of a model; denoisers that it has are left out.
        statistics: Their file; None looks for one, or makes it.
        lists: As for :func:`plan_sweep`.
        combine: Likewise.

    Raises:
        InputError: If a file cannot be used, no layer can be denoised, there is nothing to evaluate on, or no
            setting could be measured.
    """
    build_reranking(cfg)  # refuses before anything is read
    model, header = load_plain(cfg, weights)
    files = _statistics_files(cfg, weights, statistics, model)
    known = files.read_named()
    specs, layers = plan_sweep(model, build_denoise_spec(cfg), lists, combine=combine, known=known)
    evaluators = _evaluators(cfg, header)
    found, source = files.find(layers, lambda missing: _gather(cfg, model, header, missing))
    swept = sweep(model, specs, found, evaluators, _inference(cfg))
    if not any(point.measured for point in swept.points):
        raise InputError(
            f"at least one setting must be measurable, none of {len(specs)} was; the first,"
            f" {describe_denoise(specs[0])}: {swept.points[0].fault}"
        )
    lines = [swept.as_text(), f"weights: {weights}; statistics: {source}"]
    for name in evaluators:
        if marks := swept.marks(name):
            path = _folder(cfg, name, len(evaluators)) / SWEEP
            plain, title = swept.untouched[name], f"Intensity of the denoising of {model.spec.name}"
            draw_intensity(marks, plain.mean_ap, float(plain.cmc[0]), path, title, swept.protocols[name])
            lines.append(f"picture: {path}")
    return Tested("\n".join(lines), swept.as_dict() | {"weights": str(weights), "statistics": str(source)})


def build_files(cfg: CfgNode, weights: Path, statistics: Path | None, out: Path) -> Tested:
    """Write the fused checkpoint of the setting of ``cfg``, solved from statistics; no image is read.

    Args:
        cfg: The setting.
        weights: As for :func:`sweep_files`.
        statistics: Their file; None looks for one.
        out: The checkpoint.

    Raises:
        InputError: If a file cannot be used, the statistics lack a layer, or the setting cannot be built.
    """
    start = time.perf_counter()
    model, header = load_plain(cfg, weights)
    spec = build_denoise_spec(cfg)
    found, source = _statistics_files(cfg, weights, statistics, model).find(layers_of(model, spec.targets))
    try:
        fused, change = build_fused(model, spec, found)
    except ValueError as error:
        raise InputError(f"{describe_denoise(spec)} cannot be built from {source}: {error}") from error
    save_checkpoint(out, fused, replace(header, denoise=spec, state="fused"))
    seconds = time.perf_counter() - start
    text = f"{describe_denoise(spec)}: mean weight change |W'-W|/|W| {change:.1e}, {seconds:.1f} s"
    figures = {"keys": denoise_keys(spec), "weight_change": change, "seconds": seconds}
    return Tested(f"{text}\nwrote {out}; statistics: {source}", figures | {"statistics": str(source)})


def _evaluators(cfg: CfgNode, header: Header) -> dict[str, Evaluator]:
    datasets = build_datasets(cfg, train=False)
    device = pick_device(cfg.MODEL.DEVICE)
    evaluators = build_evaluators(cfg, datasets, header.preprocessing, device, header.training)
    if not evaluators:
        raise InputError(f"{', '.join(datasets)} must have query and gallery images, none has; check them")
    return evaluators


def _inference(cfg: CfgNode) -> InferenceOptions:
    return InferenceOptions(cfg.TEST.DTYPE, cfg.MODEL.CHANNELS_LAST, cfg.TEST.COMPILE)


def _folder(cfg: CfgNode, name: str, number: int) -> Path:
    """Where the pictures of one of ``number`` data sets go."""
    return Path(cfg.OUTPUT_DIR, re.sub(r"[^\w.-]+", "_", name) if number > 1 else "")


def statistics_paths(cfg: CfgNode, weights: Path) -> tuple[Path, Path]:
    """Where statistics may be that no option names: beside the weights, and in ``OUTPUT_DIR``."""
    return weights.with_name(STATISTICS), Path(cfg.OUTPUT_DIR, STATISTICS)


def _statistics_files(cfg: CfgNode, weights: Path, named: Path | None, model: ReIDModel) -> StatisticsFiles:
    return StatisticsFiles(named, *statistics_paths(cfg, weights), weights_key(model))


def _gather(cfg: CfgNode, model: ReIDModel, header: Header, layers: list[str]) -> Mapping[str, Moments]:
    """Statistics of ``layers`` from one pass over the training images, prepared as in the evaluation."""
    sets = [build_dataset(cfg, name, train=True, test=False) for name in cfg.DATASETS.NAMES]
    dataset = merge_training(sets)
    if len(dataset.train) == 0:
        raise InputError(f"{dataset.title} has no training images to gather statistics from; name their file")
    loader, device = (
        build_plain_loader(cfg, dataset.train, header.preprocessing),
        pick_device(cfg.MODEL.DEVICE),
    )
    attached = DenoiseSpec(tuple(map(re.escape, layers)), t_rule="1").attach(model).to(device)
    known = knows_cameras_of(model.spec.side, dataset.name)
    with progress_bar(len(loader), "statistics", "batch") as bar:
        return gather(attached, loader, device, knows_cameras=known, bar=bar)


def compare_seeds(cfg: CfgNode, count: int, final_only: Path | None, *, pictures: bool) -> Tested:
    """Evaluate what ``train.py --seeds`` left below ``OUTPUT_DIR``, and average over the seeds.

    Args:
        cfg: The evaluation; ``SOLVER.SEED`` is the first seed.
        count: How many seeds.
        final_only: A folder of the same seeds, of runs that denoise the final feature alone.
        pictures: Whether each seed's report and pictures are drawn, into its folder.

    Raises:
        InputError: If a seed's weights are missing, or as :func:`compare_files`.
    """
    seeds = range(cfg.SOLVER.SEED, cfg.SOLVER.SEED + count)
    files = {seed: _files_of(seed, Path(cfg.OUTPUT_DIR), final_only) for seed in seeds}
    found: dict[int, dict[str, Any]] = {}
    for seed, own_files in files.items():
        own = with_values(cfg, {"OUTPUT_DIR": str(own_files.weights.parent)})
        found[seed] = compare_files(own, own_files, pictures=pictures).figures
    if "models" in found[seeds[0]]:
        text, averaged = average(list(found.values()), list(found))
    else:
        names = [name for name, value in found[seeds[0]].items() if isinstance(value, dict)]
        each = {name: average([run[name] for run in found.values()], list(found)) for name in names}
        text = "\n".join(text for text, _ in each.values())
        averaged = {name: figures for name, (_, figures) in each.items()}
    if pictures:
        text += f"\nreports and pictures: {', '.join(str(own.weights.parent) for own in files.values())}"
    return Tested(text, averaged | {"seeds": {str(seed): figures for seed, figures in found.items()}})


def _files_of(seed: int, folder: Path, final_only: Path | None) -> ModelFiles:
    own = Path(f"seed_{seed}")
    # A run whose mode is none leaves a baseline alone.
    weights = next(
        (folder / own / name for name in (DENOISED, BASELINE) if (folder / own / name).is_file()), None
    )
    if weights is None:
        raise InputError(
            f"{folder / own} must hold {DENOISED} or {BASELINE}, it does not; train with --seeds and the same"
            " OUTPUT_DIR and SOLVER.SEED, or name fewer seeds"
        )
    if final_only is not None and not (final_only / own / DENOISED).is_file():
        raise InputError(f"{final_only / own} must hold {DENOISED}, it does not; train the same seeds there")
    return ModelFiles(weights, None, None if final_only is None else final_only / own / DENOISED)


def _load_final_only(cfg: CfgNode, path: Path, model: ReIDModel) -> ReIDModel:
    loaded, _ = load_for_test(cfg, path)
    if denoised_layers(loaded) or not denoisers_by_layer(loaded):
        raise InputError(
            f"{path} must denoise the final feature alone, it does not; train it with DENOISE.TARGETS feature"
        )
    if loaded.preprocessing != model.preprocessing:
        raise InputError(
            f"all models must see the same images: {path} wants {loaded.preprocessing}, the weights want"
            f" {model.preprocessing}"
        )
    return loaded

"""From files of weights to comparisons: one run's, or those of several seeds."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from reid.denoise import denoised_layers, denoisers_by_layer
from reid.engine.build_data import build_datasets, build_evaluators, build_reranking
from reid.engine.compare import FINAL_FEATURE, compare
from reid.engine.illustrate import illustrate
from reid.engine.load import load_baseline, load_for_test
from reid.engine.over_seeds import average
from reid.engine.report import write_report
from reid.engine.run_folder import BASELINE, DENOISED
from reid.models import ReIDModel
from reid.models.inference import InferenceOptions
from reid.utils import InputError, pick_device

REPORT = "report.html"


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
    device = pick_device(cfg.MODEL.DEVICE)
    datasets = build_datasets(cfg, train=False)
    evaluators = build_evaluators(cfg, datasets, header.preprocessing, device, header.training)
    if not evaluators:
        raise InputError(f"{', '.join(datasets)} must have query and gallery images, none has; check them")
    options = InferenceOptions(cfg.TEST.DTYPE, cfg.MODEL.CHANNELS_LAST, cfg.TEST.COMPILE)
    comparisons = {
        name: compare(model, baseline, evaluator, is_fused=is_fused, final_only=final_only, options=options)
        for name, evaluator in evaluators.items()
    }
    lines = [*(comparison.as_text() for comparison in comparisons.values()), f"baseline: {source}"]
    if files.final_only is not None:
        lines.append(f"{FINAL_FEATURE}: {files.final_only}")
    for name, comparison in comparisons.items() if pictures else ():
        folder = Path(cfg.OUTPUT_DIR, re.sub(r"[^\w.-]+", "_", name) if len(comparisons) > 1 else "")
        drawn = illustrate(comparison, evaluators[name], folder)
        write_report(comparison, evaluators[name], folder / REPORT)
        lines.append(f"report: {folder / REPORT}; pictures: {', '.join(map(str, drawn))}")
    figures: dict[str, Any] = {name: comparison.as_dict() for name, comparison in comparisons.items()}
    if len(figures) == 1:
        figures = figures.popitem()[1]
    return Tested("\n".join(lines), figures | {"baseline": source, "weights": str(files.weights)})


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
        own = cfg.clone()
        own.defrost()
        own.OUTPUT_DIR = str(own_files.weights.parent)
        own.freeze()
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

"""From cells of the paper's tables to trained, tested and written ones."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from reid.config import load_config, with_values
from reid.config.checks import leaves
from reid.engine.build import build_run
from reid.engine.build_comparison import ModelFiles, compare_files
from reid.engine.run_folder import BASELINE, DENOISED, LAST, PREVIOUS
from reid.leaderboard.paper import Cell
from reid.leaderboard.places import Disk, draw_toys, toy_words
from reid.leaderboard.recipes import Recipe, recipe_of
from reid.leaderboard.results import RUNS, TOY_DATA, environment, join_seeds, read_result
from reid.models import ReIDModel
from reid.models.build import build_model, build_model_spec, build_preprocessing
from reid.utils import InputError, digest_of_file, hold_folder, pick_device, write_json

PAPER_SEEDS = 5
ROWS = {"baseline": "baseline", "final_only": "+ DenoiseRep-"}
# Keys that are given otherwise.
FIXED = {
    "DATASETS.ROOT_DIR": "name the data root by --data",
    "OUTPUT_DIR": "name the folder by --results",
    **dict.fromkeys(("DATASETS.NAMES", "DENOISE.MODE", "DENOISE.TARGETS"), "name rows by --row"),
}
APPENDIX = {
    "SOLVER.BASE_LR": 4e-4,
    "SOLVER.IMS_PER_BATCH": 64,
    "SOLVER.MAX_EPOCHS": 120,
    "DENOISE.MAX_EPOCHS": 120,
    "DENOISE.TIMESTEPS": 1000,
    "DENOISE.PERIOD": 10,
}
FILES = ("MODEL.PRETRAIN_PATH", "MODEL.TEXT_FEATURES")
# Where things are and what they are computed with, no part of a protocol; and what is compared by itself.
UNNAMED = (
    *("OUTPUT_DIR", "DATASETS.ROOT_DIR", "MODEL.DEVICE", *FILES),
    *("SOLVER.SEED", "DATALOADER.NUM_WORKERS", "SOLVER.TENSORBOARD", *APPENDIX),
)


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Args:
        disk: Data and weights.
        results: Where cells and runs are written.
        seeds: Runs of each cell.
        words: KEY VALUE words of the user.
        toy: Whether drawn people and small networks stand in for everything.
        again: Whether finished cells are measured again; what was trained on the same is kept.
    """

    disk: Disk
    results: Path
    seeds: int = 1
    words: tuple[str, ...] = ()
    toy: bool = False
    again: bool = False


@dataclass(frozen=True)
class _Work:
    """All that a cell's run is made of; ``digest`` tells finished cells that were made of anything else."""

    recipe: Recipe
    root: Path
    words: list[str]
    plain: CfgNode
    cfg: CfgNode
    seeds: range
    missing: list[str]
    contents: Mapping[str, str]
    digest: str


def run_cells(cells: Sequence[Cell], plan: Plan) -> dict[str, dict[str, Any]]:
    """Run cells one after the other; what is wrong with any is found before anything is trained.

    Returns:
        By the cells' keys their results, or ``cell`` and ``missing``: why one cannot run.

    Raises:
        InputError: If the words cannot be used, another process runs cells in the folder, or a cell's file is
            none of this tool or of other words, seeds, sizes, weights or images.
    """
    built: set[str] = set()
    works = {cell.key: _work_of(recipe, plan, built) for cell in cells if (recipe := recipe_of(cell))}
    kept = {
        key: None if plan.again or work.missing else _kept(key, plan, work.digest)
        for key, work in works.items()
    }
    is_idle = all(work.missing or kept[key] for key, work in works.items())
    found: dict[str, dict[str, Any]] = {}
    with nullcontext() if is_idle else hold_folder(plan.results):
        for cell in cells:
            work = works.get(cell.key)
            if work is None or work.missing:
                missing = work.missing if work else [f"no recipe here: {cell.source}"]
                found[cell.key] = {"cell": cell.key, "missing": missing}
            else:
                found[cell.key] = kept[cell.key] or _run_cell(cell, work, plan)
    return found


def _run_cell(cell: Cell, work: _Work, plan: Plan) -> dict[str, Any]:
    """Train what a cell needs, test it, and write ``<cell>.json``."""
    recipe = work.recipe
    if plan.toy:
        draw_toys(recipe, work.root)
    start = time.perf_counter()
    try:
        runs = {str(seed): _run_seed(work, seed, plan.results / RUNS) for seed in work.seeds}
    except InputError as error:
        return {"cell": cell.key, "missing": [f"stopped: {error}"]}
    result = {
        "cell": cell.key,
        "table": cell.table,
        "row": cell.row,
        "dataset": cell.dataset,
        "paper": dict(cell.figures),
        "metrics": join_seeds(list(runs.values())),
        "by_seed": runs,
        "protocol": next(iter(runs.values()))["protocol"],
        "differences": differences(work.cfg, recipe, plan),
        "toy": plan.toy,
        "recipe": {"config": recipe.config, "variant": recipe.variant, "words": work.words},
        "config": work.cfg.dump(),
        "digest": work.digest,
        "seconds": time.perf_counter() - start,
        **environment(),
    }
    write_json(plan.results / f"{cell.key}.json", result)
    return result


def _kept(key: str, plan: Plan, digest: str) -> dict[str, Any] | None:
    """A finished cell, if it was measured as is asked for; None where there is none."""
    kept = read_result(plan.results, key)
    if kept is not None and kept["digest"] != digest:
        raise InputError(
            f"{key} was measured with other words, seeds or sizes, weights or images, and is in"
            f" {plan.results}; name another folder by --results, or measure it anew by --again"
        )
    return kept


def _work_of(recipe: Recipe, plan: Plan, built: set[str]) -> _Work:
    """What is to be done for a cell, and what is missing for it; ``built`` are the networks of others.

    What its words make impossible is found here, before anything is trained: the last seed, the device, and a
    network that cannot be built.
    """
    root = plan.results / TOY_DATA if plan.toy else plan.disk.data
    found, missing = ((), []) if plan.toy else plan.disk.find_weights(recipe, plan.words)
    shared = (*recipe.network, "DATASETS.ROOT_DIR", str(root), *found)
    small = toy_words(recipe) if plan.toy else ()
    words = [*shared, *recipe.words, *small, *plan.words]
    own = [*_without_denoising(small), *_without_denoising(plan.words)]
    cfg = load_config(recipe.config, words)
    seeds = range(cfg.SOLVER.SEED, cfg.SOLVER.SEED + plan.seeds)
    load_config(recipe.config, [*words, "SOLVER.SEED", str(seeds[-1])])
    pick_device(cfg.MODEL.DEVICE)
    missing = missing if plan.toy else [*missing, *plan.disk.missing_data(recipe)]
    _check_network(cfg, built, is_complete=not missing)
    contents = {} if plan.toy else plan.disk.contents
    return _Work(
        recipe=recipe,
        root=root,
        words=words,
        plain=load_config(recipe.config, [*shared, *own, "DENOISE.MODE", "none"]),
        cfg=cfg,
        seeds=seeds,
        missing=missing,
        contents=contents,
        digest=_digest(cfg, contents, str(plan.seeds), recipe.variant, *map(contents.get, recipe.data)),
    )


def _check_network(cfg: CfgNode, built: set[str], *, is_complete: bool) -> None:
    """Build a network that was not built yet; of a complete cell with its weights, which may not fit."""
    for key, path in leaves(cfg):
        if key in FILES and path and not Path(path).is_file():
            raise InputError(f"{key} must name a file, {path} is none")
    network = f"{cfg.MODEL.dump()}{cfg.INPUT.dump()}{is_complete}"
    if network in built:
        return
    if is_complete and cfg.MODEL.PRETRAIN_PATH:
        build_model(cfg, 2)
    else:
        with torch.device("meta"):
            ReIDModel(build_model_spec(cfg, 2), build_preprocessing(cfg))
    built.add(network)


def check_words(words: Sequence[str]) -> None:
    """Refuse KEY VALUE words that are no pairs, or would make a cell another one.

    Raises:
        InputError: With what to say instead.
    """
    if len(words) % 2:
        raise InputError(f"overrides must be KEY VALUE pairs, got {len(words)} words")
    for key in words[::2]:
        if key in FIXED:
            raise InputError(f"{key} is what tells cells apart; {FIXED[key]}")


def differences(cfg: CfgNode, recipe: Recipe, plan: Plan) -> list[str]:
    """What in a run of ``cfg`` is not as in the paper, or not as in its recipe; one line each."""
    lines = list(recipe.notes)
    if plan.toy:
        lines.append("toy: drawn people, a small network without pre-training; says nothing of the paper")
    if plan.seeds != PAPER_SEEDS:
        lines.append(f"{plan.seeds} seed(s), the paper has the mean of {PAPER_SEEDS}")
    values: dict[str, Any] = dict(leaves(cfg))
    own: Mapping[str, Any] = dict(leaves(load_config(recipe.config, [*recipe.network, *recipe.words])))
    small = toy_words(recipe)[::2] if plan.toy else ()  # all that is in the line above
    for name, value in APPENDIX.items():
        is_of_denoising = name.startswith("DENOISE") and recipe.variant == "baseline"
        if values[name] != value and not is_of_denoising and name not in small:
            lines.append(f"{name} {values[name]}, Appendix A has {value}")
    if recipe.variant in ("label_free", "merged") and cfg.DENOISE.CLOSED_FORM:
        lines.append("closed form instead of gradients")
    changed = [n for n in own if own[n] != values[n] and n not in (*UNNAMED, *small)]
    lines += [f"{name} {values[name]} instead of {own[name]}" for name in changed]
    return lines


def _run_seed(work: _Work, seed: int, folder: Path) -> dict[str, Any]:
    """The comparison of one seed's model with its baseline, which all variants of a configuration share."""
    recipe, plain = work.recipe, work.plain
    stem = recipe.config.removesuffix(".yml")
    below = folder / f"{stem}-baseline-{_digest(plain, work.contents)}" / f"seed_{seed}"
    baseline = _train(with_values(plain, {"SOLVER.SEED": seed}), below, BASELINE)
    if recipe.variant == "baseline":
        return _test(plain, recipe, below, ModelFiles(baseline))
    forced = ["SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(baseline), "SOLVER.SEED", str(seed)]
    if recipe.variant == "merged":
        forced += ["DATASETS.NAMES", str(list(recipe.data))]
    cfg = load_config(recipe.config, [*work.words, *forced])
    name = f"{stem}-{recipe.variant}-{_digest(cfg, work.contents, below.parent.name)}"
    own = folder / name / f"seed_{seed}"
    weights = _train(cfg, own, DENOISED)
    return _test(cfg, recipe, own, ModelFiles(weights, baseline))


def _train(cfg: CfgNode, folder: Path, end: str) -> Path:
    """The checkpoint that a run ends with; an interrupted run goes on, a finished one is kept."""
    unfinished = any((folder / name).exists() for name in (LAST, PREVIOUS))
    if unfinished or not (folder / end).is_file():
        build_run(with_values(cfg, {"OUTPUT_DIR": str(folder)})).run(resume=unfinished)
    return folder / end


def _test(cfg: CfgNode, recipe: Recipe, folder: Path, files: ModelFiles) -> dict[str, Any]:
    """The figures of the cell's own model."""
    own = with_values(cfg, {"OUTPUT_DIR": str(folder), "DATASETS.NAMES": [recipe.evaluated]})
    models = compare_files(own, files, pictures=False).figures["models"]
    name = ROWS.get(recipe.variant, "+ DenoiseRep fused")
    if name not in models:
        raise InputError(f"{files.weights} is not of this run, it gives {', '.join(models)}; delete {folder}")
    return dict(models[name])


def _without_denoising(words: tuple[str, ...]) -> list[str]:
    pairs = zip(words[::2], words[1::2], strict=False)
    return [word for pair in pairs if not pair[0].startswith("DENOISE.") for word in pair]


def _digest(cfg: CfgNode, contents: Mapping[str, str], *more: str | None) -> str:
    """Of a configuration without its seed, of its files by their content, wherever they lie, and its images.

    Args:
        cfg: The configuration.
        contents: Names of the data sets' images.
        more: What else tells runs apart; the seed does, too, where there is any.
    """
    files = {key: digest_of_file(Path(path)) if path else "" for key, path in leaves(cfg) if key in FILES}
    places = {"OUTPUT_DIR": "", "DATASETS.ROOT_DIR": ""}
    own = with_values(cfg, files | places | ({} if more else {"SOLVER.SEED": 0}))
    images = [str(contents.get(name)) for name in cfg.DATASETS.NAMES]
    return hashlib.sha256("\n".join([own.dump(), *images, *map(str, more)]).encode()).hexdigest()[:12]

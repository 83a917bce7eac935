"""Runs of several seeds, each with its controls, and the one table that they make."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.engine.compare import row_name
from reid.engine.controls import NO_DENOISERS, UNTOUCHED, outcomes, run_all, trains_without_denoisers
from reid.engine.effects import Effect, effects_as_dict, effects_table, measure_effects
from reid.engine.train import TrainingRun
from reid.evaluation import FIGURES, EvaluationResult, figure_cells, format_table
from reid.utils import InputError, write_json

logger = logging.getLogger(__name__)

EFFECTS = "effects.json"


@dataclass(frozen=True)
class Report:
    """What was found, for people and for machines.

    Args:
        text: Tables and what they must be read with.
        figures: Of the one data set, or of several by their names; metrics are fractions.
        checkpoints: The files that the runs left.
        is_well: Whether the tool ends with exit code 0; always, as a run that has failed has raised.
    """

    text: str
    figures: dict[str, Any]
    checkpoints: list[Path]
    is_well: bool = True

    def as_text(self) -> str:
        """Tables and checkpoints."""
        return f"{self.text}\ncheckpoints: {', '.join(map(str, self.checkpoints))}"

    def as_dict(self) -> dict[str, Any]:
        """The figures."""
        return self.figures


def run_experiment(runs: Iterable[TrainingRun], *, controls: bool, resume: bool) -> Report:
    """Train runs one after the other and compare their models.

    ``effects.json`` is left in each folder, and of several seeds in the one above them.

    Args:
        runs: Of one configuration and different seeds; each is built when the one before it is done.
        controls: Whether each has its controls trained too.
        resume: Whether to go on from what the folders hold; what is finished is taken as it is.

    Raises:
        InputError: If there are no test images, or as :func:`run_all`.
    """
    found: dict[str, dict[int, dict[str, Effect]]] = {}
    protocols: dict[str, str] = {}
    checkpoints: list[Path] = []
    for run in runs:
        if not run.evaluators:
            raise InputError("a comparison needs query and gallery images, there are none; check the data")
        run_all(run, controls=controls, resume=resume)
        checkpoints += sorted(run.folder.path.rglob("*.pth"))
        seed = run.trainers["baseline"].seed
        effects = measure_effects(outcomes(run, controls=controls), run.evaluators)
        if run.world.is_main:
            write_json(
                run.folder.path / EFFECTS, {n: effects_as_dict({seed: own}) for n, own in effects.items()}
            )
        for name, evaluator in run.evaluators.items():
            found.setdefault(name, {})[seed] = effects[name]
            protocols[name] = evaluator.protocol(run.model).describe()
    texts = [
        f"{effects_table(list(by_seed.values()))}\nprotocol: {protocols[name]}"
        for name, by_seed in found.items()
    ]
    figures = {
        name: effects_as_dict(by_seed) | {"protocol": protocols[name]} for name, by_seed in found.items()
    }
    by_seed = next(iter(found.values()))
    names = list(next(iter(by_seed.values())))
    texts.append(_legend(list(by_seed), names, is_trained=trains_without_denoisers(run)))
    if run.world.is_main and len(by_seed) > 1:
        write_json(run.folder.path.parent / EFFECTS, figures)
    return _reported(Report("\n".join(texts), _of_one(figures), checkpoints))


def _legend(seeds: list[int], names: list[str], *, is_trained: bool) -> str:
    """What the columns and rows are."""
    spread = "its 95 % interval over queries (paired bootstrap), which says nothing of another seed"
    if len(seeds) > 1:
        spread = f"mean ± sample standard deviation over seeds {', '.join(map(str, seeds))}"
    lines = [
        f"mAP less: in points, {spread}",
        "weight change: |W'-W|/|W| by fusing the denoisers, mean over their layers; in all: |W-W0|/|W0| of"
        f" the network, W0 {UNTOUCHED}",
    ]
    if NO_DENOISERS in names:
        lines.append(f"{UNTOUCHED}: the start of the denoising; same schedule: from the same start and seed")
        if not is_trained:
            lines.append("nothing but denoisers is trained here, so without them the start is left as it is")
    return "\n".join(lines)


def report_run(run: TrainingRun, results: dict[str, dict[str, EvaluationResult]]) -> Report:
    """The figures at the end of each stage of a run.

    Args:
        run: What was run.
        results: By the stage's name, then the data set's.
    """
    texts, figures = [], {}
    for name, evaluator in run.evaluators.items():
        protocol = evaluator.protocol(run.model).describe()
        found = {stage: by_set[name] for stage, by_set in results.items()}
        rows = [
            [row_name(stage, run.denoise.is_fusable), *figure_cells(result)]
            for stage, result in found.items()
        ]
        texts.append(f"{format_table(['model', *FIGURES], rows)}\nprotocol: {protocol}")
        figures[name] = {stage: result.as_dict() | {"protocol": protocol} for stage, result in found.items()}
    checkpoints = sorted(run.folder.path.glob("*.pth"))
    return _reported(Report("\n".join(texts), _of_one(figures), checkpoints))


def _reported(report: Report) -> Report:
    """Keep it in the log too: a terminal may be gone when a run ends."""
    logger.info("the results:\n%s", report.text)
    return report


def _of_one(figures: dict[str, Any]) -> dict[str, Any]:
    """Of one data set the figures alone, of several by the data set's name."""
    return next(iter(figures.values())) if len(figures) == 1 else figures

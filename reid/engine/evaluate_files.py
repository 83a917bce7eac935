"""Figures from feature files alone: of one model, or of two on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.records import UNKNOWN
from reid.evaluation import (
    FIGURES,
    EvaluationResult,
    Interval,
    RecallResult,
    ReRanking,
    Table,
    approximate_recall,
    bootstrap_difference,
    evaluate_retrieval,
    figure_cells,
)
from reid.evaluation.feature_files import (
    SavedFeatures,
    read_both_sides,
    read_features,
    with_same_numbers,
)
from reid.utils import InputError

MOST_RANKS = 1000
SOUGHT = 50  # nearest that an approximate index is tried with


@dataclass(frozen=True)
class Sides:
    """Query and gallery features of one model."""

    query: SavedFeatures
    gallery: SavedFeatures


def read_sides(query: Path | None, gallery: Path | None, both: Path | None) -> Sides | None:
    """Read a file for each side, or one for both; None where no file is named.

    Raises:
        InputError: If neither one pair nor one file is named, or a file is refused.
    """
    if query is None and gallery is None:
        return None if both is None else Sides(*read_both_sides(both))
    if query is None or gallery is None or both is not None:
        raise InputError("name a file of queries and one of the gallery, or one file of both, and not more")
    return Sides(*with_same_numbers(read_features(query), read_features(gallery)))


@dataclass(frozen=True, eq=False)
class FileFigures:
    """The figures of one model's files.

    Args:
        sides: What was evaluated.
        result: Of one trial.
        metric: ``cosine`` or ``euclidean``.
        reranking: What the ranking was re-ranked with; None where it was not.
    """

    sides: Sides
    result: EvaluationResult
    metric: str
    reranking: ReRanking | None

    def protocol(self) -> str:
        """What must be the same for two figures to be comparable, in one line."""
        counts = self.counts()
        again = "no re-ranking" if self.reranking is None else self.reranking.describe()
        return ", ".join(
            [
                f"{self.sides.query.source} against {self.sides.gallery.source}",
                f"{self.metric} metric",
                again,
                f"{counts['num_query']} queries",
                f"{counts['num_evaluated']} of them evaluated",
                f"{counts['num_without_match']} without a match",
                f"{counts['num_gallery']} gallery images",
                f"{counts['num_distractors']} of them of no query's identity",
                f"{counts['num_junk']} more of unknown identity left out",
            ]
        )

    def counts(self) -> dict[str, int]:
        """Of queries and of gallery images."""
        metrics, pids = self.result.trials[0], self.sides.gallery.table.pids.numpy()
        known = pids != UNKNOWN
        return {
            "num_query": metrics.num_query,
            "num_evaluated": metrics.num_evaluated,
            "num_without_match": metrics.num_query - metrics.num_evaluated,
            "num_gallery": metrics.num_gallery,
            "num_distractors": int((known & ~np.isin(pids, self.sides.query.table.pids.numpy())).sum()),
            "num_junk": int((~known).sum()),
        }

    def as_dict(self) -> dict[str, Any]:
        """For machines: metrics as fractions."""
        cmc = {"cmc": self.result.cmc.tolist()}
        return self.result.as_dict() | self.counts() | cmc | {"protocol": self.protocol()}


@dataclass(frozen=True, eq=False)
class FileComparison:
    """The figures of a model's files and, where there are others to compare with, the difference.

    Args:
        figures: Of the files.
        against: Of the others, on the same images.
        interval: Of mAP less theirs.
        recall: Of an approximate index of the gallery; None where none was asked for.
    """

    figures: FileFigures
    against: FileFigures | None = None
    interval: Interval | None = None
    recall: RecallResult | None = None

    def as_text(self) -> str:
        """The table, and what it must be read with."""
        rows = [["these", *figure_cells(self.figures.result)]]
        lines = [f"protocol: {self.figures.protocol()}"]
        if self.against is not None and self.interval is not None:
            rows.insert(0, ["against", *figure_cells(self.against.result)])
            lines.insert(0, f"these less against: {self.interval.describe()}")
            lines.append(f"protocol of against: {self.against.protocol()}")
        if self.recall is not None:
            lines.append(f"approximate search, which no figure above comes from: {self.recall.describe()}")
        return "\n".join([Table("", ["features", *FIGURES], rows).as_text(), *lines])

    def as_dict(self) -> dict[str, Any]:
        """For machines: the figures by themselves, those of the others under ``against``."""
        found = self.figures.as_dict()
        if self.against is not None and self.interval is not None:
            found |= {"against": self.against.as_dict(), "mAP_difference": self.interval._asdict()}
        if self.recall is not None:
            found["approximate_search"] = vars(self.recall)
        return found


def evaluate_files(
    sides: Sides,
    against: Sides | None = None,
    *,
    metric: str = "cosine",
    reranking: ReRanking | None = None,
    max_rank: int = 50,
    backend: str = "torch",
    index: str | None = None,
) -> FileComparison:
    """Score the ranking of the gallery for each query, as ``evaluate_retrieval`` does.

    Args:
        sides: What is evaluated.
        against: Features of the same images by another model, of any width.
        metric: ``cosine`` or ``euclidean``.
        reranking: Its numbers; None ranks by similarity.
        max_rank: Length of the CMC curve, 10 to 1000.
        backend: As in ``evaluate_retrieval``.
        index: An approximate index whose recall is measured beside, as by ``approximate_recall``.

    Raises:
        InputError: If the images of the two are not the same, the curve's length is out of range, or as
            ``evaluate_retrieval``.
    """
    if not 10 <= max_rank <= MOST_RANKS:
        raise InputError(f"the CMC curve must have 10 to {MOST_RANKS} ranks, got {max_rank}")
    if against is not None:
        _check_same(sides.query, against.query)
        _check_same(sides.gallery, against.gallery)
    figures = _figures(sides, metric, reranking, max_rank, backend)
    recall = None
    if index is not None:
        features = sides.query.table.feats, sides.gallery.table.feats
        recall = approximate_recall(*features, SOUGHT, metric=metric, index=index)
    if against is None:
        return FileComparison(figures, recall=recall)
    others = _figures(against, metric, reranking, max_rank, backend)
    return FileComparison(figures, others, bootstrap_difference(others.result, figures.result), recall)


def _figures(
    sides: Sides, metric: str, reranking: ReRanking | None, max_rank: int, backend: str
) -> FileFigures:
    query, gallery = sides.query.table, sides.gallery.table
    metrics = evaluate_retrieval(
        query.feats,
        gallery.feats,
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        metric=metric,
        reranking=reranking,
        max_rank=max_rank,
        backend=backend,
    )
    return FileFigures(sides, EvaluationResult((metrics,)), metric, reranking)


def _check_same(one: SavedFeatures, other: SavedFeatures) -> None:
    """Refuse two files whose rows are not of the same images, as far as both tell."""
    advice = "extract both of the same images in the same order"
    if len(one.table) != len(other.table):
        raise InputError(
            f"{one.source} and {other.source} must have the same rows, they have {len(one.table)} and"
            f" {len(other.table)}; {advice}"
        )
    columns: list[tuple[str, Sequence[Any], Sequence[Any]]] = [
        ("identities", one.table.pids.tolist(), other.table.pids.tolist()),
        ("cameras", one.table.camids.tolist(), other.table.camids.tolist()),
    ]
    if one.paths is not None and other.paths is not None:
        # Projects name folders in their own ways, and images alike.
        mine, theirs = ([Path(path).name for path in paths] for paths in (one.paths, other.paths))
        columns.append(("file names", mine, theirs))
    for name, first, second in columns:
        different = [row for row, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]]
        if different:
            row = different[0]
            raise InputError(
                f"{one.source} and {other.source} must have the same {name}, {len(different)} of {len(first)}"
                f" rows differ (first: row {row}, {first[row]} and {second[row]}); {advice}"
            )

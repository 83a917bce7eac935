"""The figures of a data set: metrics of each trial, and their means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reid.data.records import Trial
from reid.evaluation.features import FeatureSet
from reid.evaluation.metrics import RetrievalMetrics, evaluate_retrieval
from reid.evaluation.rerank import ReRanking
from reid.utils import InputError

REPORTED_RANKS = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Metrics of one or more trials; a figure of the result is the mean over them.

    Args:
        trials: The metrics of each trial.

    Raises:
        InputError: If there is no trial, or a CMC curve ends before rank 10.
    """

    trials: tuple[RetrievalMetrics, ...]

    def __post_init__(self) -> None:
        if not self.trials:
            raise InputError(
                "an evaluation needs at least one trial, got none; this data set has no test split"
            )
        shortest = min(len(trial.cmc) for trial in self.trials)
        if shortest < max(REPORTED_RANKS):
            raise InputError(f"max_rank must be at least {max(REPORTED_RANKS)}, got {shortest}")

    @property
    def mean_ap(self) -> float:
        """Fraction, mean over the trials."""
        return float(np.mean([trial.mean_ap for trial in self.trials]))

    @property
    def mean_inp(self) -> float:
        """Fraction, mean over the trials."""
        return float(np.mean([trial.mean_inp for trial in self.trials]))

    @property
    def cmc(self) -> NDArray[np.float64]:
        """(max_rank,) fractions, mean over the trials."""
        return np.mean([trial.cmc for trial in self.trials], axis=0)

    def as_dict(self) -> dict[str, Any]:
        """The figures for a JSON file.

        Returns:
            Fractions ``mAP``, ``mINP``, ``R1``, ``R5``, ``R10`` and counts ``num_query``, ``num_gallery``,
            ``num_evaluated``, means over the trials (counts rounded). With several trials also ``std``, the
            sample standard deviation (divisor n - 1) of each fraction.
        """
        rows = [_fractions(trial) for trial in self.trials]
        figures: dict[str, Any] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        for key in ("num_query", "num_gallery", "num_evaluated"):
            figures[key] = round(float(np.mean([getattr(trial, key) for trial in self.trials])))
        if len(rows) > 1:
            figures["std"] = {key: float(np.std([row[key] for row in rows], ddof=1)) for key in rows[0]}
        return figures


def _fractions(metrics: RetrievalMetrics) -> dict[str, float]:
    at_ranks = {f"R{rank}": float(metrics.cmc[rank - 1]) for rank in REPORTED_RANKS}
    return {"mAP": metrics.mean_ap, "mINP": metrics.mean_inp, **at_ranks}


def evaluate_trials(
    features: FeatureSet,
    trials: Sequence[Trial],
    *,
    metric: str = "cosine",
    reranking: ReRanking | None = None,
    max_rank: int = 50,
    backend: str = "torch",
    device: str | torch.device | None = None,
) -> EvaluationResult:
    """Evaluate each trial on its rows of the features.

    Args:
        features: Of all test images, in the order of the test records.
        trials: Rows of the query and the gallery side.
        metric: ``cosine`` or ``euclidean``.
        reranking: As in ``evaluate_retrieval``, each trial for itself.
        max_rank: Length of the CMC curves, at least 10.
        backend: As in ``evaluate_retrieval``.
        device: As in ``evaluate_retrieval``.

    Raises:
        InputError: As ``evaluate_retrieval``; if there is no trial; or if a trial names a row that the
            features do not have.
    """
    results = []
    for trial in trials:
        last = max(trial.query.max(initial=-1), trial.gallery.max(initial=-1))
        if last >= len(features):
            raise InputError(
                f"features must cover all test images, got {len(features)} rows but a trial names row "
                f"{last}; extract them from the same data set"
            )
        query, gallery = features.select(trial.query), features.select(trial.gallery)
        results.append(
            evaluate_retrieval(
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
                device=device,
            )
        )
    return EvaluationResult(tuple(results))

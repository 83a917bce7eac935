"""The figures of each pair of cameras: from which camera to which retrieval works, and where it does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.data.records import UNKNOWN, Trial
from reid.evaluation.evaluator import evaluate_trials
from reid.evaluation.features import FeatureSet
from reid.evaluation.metrics import RetrievalMetrics
from reid.evaluation.tables import Table

MOST_CAMERAS = 32  # whose pairs make a table


@dataclass(frozen=True)
class CameraPair:
    """Retrieval from the queries of one camera among the gallery images of another.

    Args:
        mean_ap: Fraction, mean over the queries with a true match there.
        rank1: Fraction of them whose first image is a true match.
        num_query: How many they are, over all trials.
    """

    mean_ap: float
    rank1: float
    num_query: int


CameraPairs = Mapping[tuple[int, int], CameraPair]


def evaluate_camera_pairs(
    features: FeatureSet, trials: Sequence[Trial], *, metric: str = "cosine"
) -> dict[tuple[int, int], CameraPair]:
    """Evaluate every pair of a query camera and another gallery camera by itself, without re-ranking.

    The gallery of a pair is what its camera saw, so a pair's mAP is not comparable with that of the whole
    gallery, and all pairs together take the time of one evaluation.

    Args:
        features: Of all test images.
        trials: Rows of the query and the gallery side.
        metric: ``cosine`` or ``euclidean``.

    Returns:
        By (query camera, gallery camera), ascending; pairs where no query has a true match are left out, as
        are images of unknown camera. Empty where there are more than ``MOST_CAMERAS`` cameras.
    """
    pids, camids = features.pids.numpy(), features.camids.numpy()
    cameras = np.unique(camids[camids != UNKNOWN]).tolist()
    if len(cameras) > MOST_CAMERAS:
        return {}
    found = {}
    for pair in [(a, b) for a in cameras for b in cameras if a != b]:
        parts = [part for part in (_part(trial, pair, pids, camids) for trial in trials) if len(part.query)]
        if parts:
            found[pair] = _pool(evaluate_trials(features, parts, metric=metric).trials)
    return found


def camera_table(pairs: CameraPairs, before: CameraPairs | None, title: str) -> Table:
    """MAP in %, a query camera a row and a gallery camera a column, in brackets less that of ``before``.

    Args:
        pairs: Of the model that the table is about.
        before: Of another, on the same images; None leaves the brackets out.
        title: Of the table.
    """
    rows_of, columns = (sorted({pair[side] for pair in pairs}) for side in (0, 1))
    rows = [[f"camera {a}", *(_cell((a, b), pairs, before) for b in columns)] for a in rows_of]
    return Table(title, ["query \\ gallery", *(f"camera {b}" for b in columns)], rows)


def _cell(pair: tuple[int, int], pairs: CameraPairs, before: CameraPairs | None) -> str:
    if pair not in pairs:
        return ""
    value = 100 * pairs[pair].mean_ap
    if before is None:
        return f"{value:.1f}"
    # + 0.0: a rounded zero has no sign of its own.
    return f"{value:.1f} ({round(value - 100 * before[pair].mean_ap, 1) + 0.0:+.1f})"


def _part(trial: Trial, pair: tuple[int, int], pids: NDArray[np.int64], camids: NDArray[np.int64]) -> Trial:
    """The pair's gallery rows, and its query rows that have a true match among them."""
    gallery = trial.gallery[camids[trial.gallery] == pair[1]]
    known = pids[gallery][pids[gallery] != UNKNOWN]
    is_asked = (camids[trial.query] == pair[0]) & np.isin(pids[trial.query], known)
    return Trial(trial.query[is_asked], gallery)


def _pool(results: Sequence[RetrievalMetrics]) -> CameraPair:
    """Means over the queries of all trials together."""
    counts = [result.num_evaluated for result in results]
    mean_ap = np.average([result.mean_ap for result in results], weights=counts)
    rank1 = np.average([result.cmc[0] for result in results], weights=counts)
    return CameraPair(float(mean_ap), float(rank1), sum(counts))

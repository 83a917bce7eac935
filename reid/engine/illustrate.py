"""Pictures of a comparison: CMC curves, and what the model found for some queries."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data import ReIDDataset, Trial
from reid.data.records import UNKNOWN
from reid.engine.comparison import Comparison, Row
from reid.engine.evaluate import Evaluator
from reid.evaluation import draw_cmc, draw_ranked_lists, prepare_features, ranked_lists, similarity

NUM_QUERIES, NUM_MATCHES = 8, 10
# What a similarity is, in words.
SCORES = {
    "cosine": "cosine of the two features (1 is closest)",
    "euclidean": "minus the squared distance of the two features (0 is closest)",
}


def illustrate(comparison: Comparison, evaluator: Evaluator, folder: Path) -> list[Path]:
    """Draw ``cmc.png`` with a curve a model, and ``ranked_lists.png`` of the last model of the table.

    The lists are those before re-ranking, and say so where there is one.

    The queries are spread evenly over those of the first trial that have a true match.

    Returns:
        The files written.

    Raises:
        InputError: If an image cannot be read, or faiss is missing.
    """
    cmc, lists = folder / "cmc.png", folder / "ranked_lists.png"
    curves = {
        f"{name}: mAP {row.result.mean_ap:.1%}, Rank-1 {row.result.cmc[0]:.1%}": row.result.cmc
        for name, row in comparison.rows.items()
    }
    draw_cmc(curves, cmc, f"CMC of {comparison.backbone}", comparison.protocol)
    name, row = list(comparison.rows.items())[-1]
    if evaluator.reranking:
        name += ", before re-ranking"
    trial = evaluator.dataset.trials[0]
    evaluated = np.flatnonzero(~np.isnan(row.result.trials[0].average_precision))
    places = np.linspace(0, len(evaluated) - 1, min(NUM_QUERIES, len(evaluated)))
    queries = trial.query[evaluated[places.astype(int)]]
    records = evaluator.dataset.test
    draw_ranked_lists(
        lists,
        [records.path(int(q)) for q in queries],
        find_matches(row, queries, trial, evaluator),
        [f"identity {records.pids[q]}{_camera(evaluator.dataset, records.camids[q])}" for q in queries],
        f"{comparison.backbone} {name}: the first {NUM_MATCHES} of the ranked gallery",
        f"Below each match: rank, camera, {SCORES[evaluator.metric]}. Protocol: {comparison.protocol}",
    )
    return [cmc, lists]


def find_matches(
    row: Row, queries: NDArray[np.int64], trial: Trial, evaluator: Evaluator
) -> list[list[tuple[Path, bool, str]]]:
    """For each query row the best gallery images: path, whether it is right, and a caption."""
    query, gallery = row.features.select(queries), row.features.select(trial.gallery)
    ranks = ranked_lists(
        query.feats,
        gallery.feats,
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        NUM_MATCHES,
        metric=evaluator.metric,
        device=evaluator.device,
    )
    q, g = prepare_features(query.feats, gallery.feats, evaluator.metric)
    matches = []
    for i, found in enumerate(ranks.tolist()):
        rows = [j for j in found if j >= 0]
        closeness = similarity(q[i : i + 1], g[rows], evaluator.metric)[0].tolist()
        captions = [
            f"#{rank}{_camera(evaluator.dataset, int(gallery.camids[j]))} {value:.3f}"
            for rank, (j, value) in enumerate(zip(rows, closeness, strict=True), 1)
        ]
        paths = [evaluator.dataset.test.path(int(trial.gallery[j])) for j in rows]
        right = [bool(gallery.pids[j] == query.pids[i]) for j in rows]
        matches.append(list(zip(paths, right, captions, strict=True)))
    return matches


def _camera(dataset: ReIDDataset, camid: int) -> str:
    """Cameras as people number them; nothing where the camera is unknown."""
    return "" if camid == UNKNOWN else f" cam {dataset.camera_number(camid)}"

"""``report.html`` of a comparison: what its models found, collected for ``reid.evaluation.report``."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.engine.comparison import Comparison, Row
from reid.engine.evaluate import Evaluator
from reid.evaluation import ranked_lists
from reid.evaluation.report import (
    Match,
    Model,
    Query,
    Ranking,
    Report,
    as_distance,
    choose_queries,
    evenly_spread,
    render,
    sample_distances,
)
from reid.evaluation.similarity import pair_similarity, prepare_features
from reid.utils import write_atomically

NUM_MATCHES = 10
MAX_RANKED = 20_000  # queries that lists are made of, to choose from


def write_report(comparison: Comparison, evaluator: Evaluator, path: Path) -> None:
    """Write the page, atomically.

    Raises:
        InputError: If an image cannot be read, or faiss is missing.
    """
    page = render(collect_report(comparison, evaluator))
    with write_atomically(path) as temporary:
        # Names of files may hold bytes that are no text; a question mark stands for them.
        temporary.write_text(page, encoding="utf-8", errors="replace")


def collect_report(comparison: Comparison, evaluator: Evaluator) -> Report:
    """What the page shows: lists and distances are those of the first trial, before re-ranking.

    Raises:
        InputError: If faiss is missing.
    """
    trial, records = evaluator.dataset.trials[0], evaluator.dataset.test
    rows = list(comparison.rows.values())
    precisions = [row.result.trials[0].average_precision for row in rows]
    evaluated = np.flatnonzero(~np.isnan(precisions[-1]))  # by the labels, so the same of all models
    ranked = evenly_spread(evaluated, MAX_RANKED)
    found = [_rank(row, trial.query[ranked], trial.gallery, evaluator) for row in rows]  # each (R, k)
    tops = [records.pids[ranks[:, 0]] == records.pids[trial.query[ranked]] for ranks in found]
    chosen = choose_queries(precisions[-1][ranked], tops[0], tops[-1])
    lists = [
        _matches(row, trial.query[ranked[chosen]], ranks[chosen], evaluator)
        for row, ranks in zip(rows, found, strict=True)
    ]
    queries = []
    for number, matches in zip(ranked[chosen], zip(*lists, strict=True), strict=True):
        image = trial.query[number]
        rankings = [
            Ranking(float(precision[number]), each)
            for precision, each in zip(precisions, matches, strict=True)
        ]
        name, pid = str(records.paths[image]), int(records.pids[image])
        camera = evaluator.dataset.camera_number(records.camids[image])
        queries.append(Query(int(number) + 1, name, pid, camera, rankings))
    names = {query.image for query in queries}
    names |= {match.image for query in queries for ranking in query.rankings for match in ranking.matches}
    return Report(
        dataset=evaluator.dataset.title,
        backbone=comparison.backbone,
        protocol=comparison.protocol,
        tables=comparison.tables(),
        # Under the title already.
        notes=[note for note in comparison.notes() if comparison.protocol not in note],
        metric=evaluator.metric,
        models=[
            Model(
                name,
                row.result.mean_ap,
                row.result.cmc,
                sample_distances(row.features, trial.query[evaluated], trial.gallery, evaluator.metric),
            )
            for name, row in comparison.rows.items()
        ],
        queries=queries,
        images={name: records.root / name for name in names},
        num_evaluated=len(evaluated),
        num_without_match=len(trial.query) - len(evaluated),
        num_ranked=len(ranked),
        num_became_right=int((~tops[0] & tops[-1]).sum()),
        num_became_wrong=int((tops[0] & ~tops[-1]).sum()),
        num_trials=len(evaluator.dataset.trials),
        is_reranked=evaluator.reranking is not None,
    )


def _rank(
    row: Row, queries: NDArray[np.int64], gallery: NDArray[np.int64], evaluator: Evaluator
) -> NDArray[np.int64]:
    """(Q, NUM_MATCHES) test images, best first; -1 after the last where fewer remain."""
    one, other = row.features.select(queries), row.features.select(gallery)
    ranks = ranked_lists(
        one.feats,
        other.feats,
        one.pids,
        other.pids,
        one.camids,
        other.camids,
        NUM_MATCHES,
        metric=evaluator.metric,
        device=evaluator.device,
    ).numpy()
    return np.where(ranks >= 0, gallery[ranks], -1)


def _matches(
    row: Row, queries: NDArray[np.int64], ranks: NDArray[np.int64], evaluator: Evaluator
) -> list[list[Match]]:
    """The entries of each query's list."""
    records, metric = evaluator.dataset.test, evaluator.metric
    place, rank = np.nonzero(ranks >= 0)
    first, second = queries[place], ranks[place, rank]
    used, rows = np.unique(np.concatenate([first, second]), return_inverse=True)
    feats = row.features.select(used).feats
    feats, _ = prepare_features(feats, feats, metric)
    similarities = pair_similarity(feats, rows[: len(first)], rows[len(first) :], metric)
    distances = as_distance(similarities, metric)
    lists: list[list[Match]] = [[] for _ in queries]
    for at, query, image, distance in zip(place, first, second, distances.tolist(), strict=True):
        is_right = bool(records.pids[image] == records.pids[query])
        camera = evaluator.dataset.camera_number(records.camids[image])
        lists[at].append(Match(str(records.paths[image]), camera, distance, is_right))
    return lists

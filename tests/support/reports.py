"""A small report made by hand."""

from dataclasses import replace

import numpy as np
from PIL import Image

from reid.evaluation import Table
from reid.evaluation.report import Distances, Match, Model, Query, Ranking, Report

# What is right at Rank-1 under the three models, and the average precision under each.
OUTCOMES = {
    "stays right": ("111", (0.9, 0.9, 0.9)),
    "becomes right": ("001", (0.2, 0.2, 0.7)),
    "becomes wrong": ("110", (0.8, 0.8, 0.3)),
    "stays wrong": ("000", (0.1, 0.1, 0.1)),
    "becomes right too": ("011", (0.4, 0.9, 0.6)),
}
MODELS = ("baseline", "+ DenoiseRep unfused", "+ DenoiseRep fused")


def draw_images(folder, names, size=(64, 128)):
    """Pictures of different grey."""
    found = {}
    for number, name in enumerate(names):
        found[name] = folder / f"{number}.png"
        Image.new("RGB", size, (number * 20 % 256,) * 3).save(found[name])
    return found


def hand_made_report(folder, **changes):
    """Five queries under three models, two entries a list."""
    names = [*OUTCOMES, "good", "bad"]
    queries = []
    for number, (name, (right, precisions)) in enumerate(OUTCOMES.items(), 1):
        rankings = []
        for is_right, precision in zip(right, precisions, strict=True):
            pair = [Match("good", 2, 0.25, True), Match("bad", -1, 0.5, False)]
            rankings.append(Ranking(precision, pair if is_right == "1" else pair[::-1]))
        queries.append(Query(number, name, 10 + number, 1, rankings))
    distances = Distances(np.float32([0.1, 0.2]), np.float32([0.2, 0.8]), 5)
    cmc = np.linspace(0.5, 1, 50)
    report = Report(
        dataset="Drawn people",
        backbone="vit_micro",
        protocol="drawn people, cosine metric",
        tables=[Table("", ["model", "mAP"], [["baseline", "40.0%"], ["fused", "50.0%"]])],
        notes=["a note"],
        metric="cosine",
        models=[Model(name, 0.5, cmc, distances) for name in MODELS],
        queries=queries,
        images=draw_images(folder, names),
        num_evaluated=5,
        num_without_match=0,
        num_ranked=5,
        num_became_right=2,
        num_became_wrong=1,
    )
    return replace(report, **changes)


def of_one_model(report):
    """The same report without a model to compare with."""
    queries = [replace(query, rankings=query.rankings[-1:]) for query in report.queries]
    none = {"num_became_right": 0, "num_became_wrong": 0}
    return replace(report, models=report.models[-1:], queries=queries, **none)

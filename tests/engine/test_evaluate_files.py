"""Figures from feature files: by hand, against plain loops, and of two models."""

import numpy as np
import pytest
import torch
from naive_metrics import naive_retrieval

from reid.engine.evaluate_files import Sides, evaluate_files, read_sides
from reid.evaluation import FeatureSet, ReRanking, bootstrap_difference, evaluate_retrieval
from reid.evaluation.feature_files import SavedFeatures, write_features
from reid.utils import InputError


def save(path, feats, pids, camids, paths=None):
    table = FeatureSet(torch.tensor(feats, dtype=torch.float32), torch.tensor(pids), torch.tensor(camids))
    write_features(path, table, np.array(paths or [f"{row}.jpg" for row in range(len(pids))]))
    return path


def side(name, feats, pids, camids, paths=None):
    table = FeatureSet(torch.tensor(feats, dtype=torch.float32), torch.tensor(pids), torch.tensor(camids))
    return SavedFeatures(name, table, paths)


def toy(tmp_path):
    """By hand: angles to the query (1, 0) grow down the gallery.

    Query 0, identity 7, camera 0. Ranked: distractor, [junk: own camera], match, [unknown], other, match:
    matches at ranks 2 and 4, AP = (1/2 + 2/4) / 2 = 1/2, INP = 2/4. Queries 1 and 2: no image of them.
    """
    angles = np.deg2rad([0, 10, 20, 30, 40, 50])
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 3
    return read_sides(
        save(tmp_path / "q.npz", [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], [7, 9, 11], [0, 0, 0]),
        save(tmp_path / "g.npz", gallery, [0, 7, 7, -1, 8, 7], [1, 0, 1, 2, 0, 2]),
        None,
    )


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_toy_case_by_hand(tmp_path):
    found = evaluate_files(toy(tmp_path))
    figures = found.as_dict()
    assert (figures["mAP"], figures["mINP"], figures["R1"], figures["R5"], figures["R10"]) == (
        0.5,
        0.5,
        0,
        1,
        1,
    )
    assert figures["cmc"] == [0.0] + [1.0] * 49
    counts = {name: value for name, value in figures.items() if name.startswith("num")}
    assert counts == {
        "num_query": 3,
        "num_evaluated": 1,
        "num_without_match": 2,
        "num_gallery": 5,
        "num_distractors": 2,
        "num_junk": 1,
    }
    lines = found.as_text().splitlines()
    assert cells(lines[0]) == ["features", "mAP", "mINP", "Rank-1", "Rank-5", "Rank-10"]
    assert cells(lines[2]) == ["these", "50.0%", "50.0%", "0.0%", "100.0%", "100.0%"]
    assert lines[3] == (
        f"protocol: {tmp_path / 'q.npz'} against {tmp_path / 'g.npz'}, cosine metric, no re-ranking,"
        " 3 queries, 1 of them evaluated, 2 without a match, 5 gallery images, 2 of them of no query's"
        " identity, 1 more of unknown identity left out"
    )
    assert len(lines) == 4


def random_files(folder, seed, ties):
    """Junk, distractors, unknown identities and cameras, queries without a match; with ``ties``, those."""
    rng = np.random.default_rng(seed)
    columns = []
    for name, count in (("q", 15), ("g", 60)):
        # Of length 2, so that cosines are exact in float32.
        feats = rng.choice([-1.0, 1.0], (count, 4)) if ties else rng.normal(size=(count, 4))
        pids, camids = rng.integers(-1, 9, count), rng.integers(-1, 3, count)
        pids[:2] = (100, 3) if name == "q" else (3, 3)
        save(folder / f"{name}.npz", feats, pids.tolist(), camids.tolist())
        columns.append((feats.astype(np.float32).tolist(), pids.tolist(), camids.tolist()))
    pairs = zip(*columns, strict=True)
    return read_sides(folder / "q.npz", folder / "g.npz", None), [column for pair in pairs for column in pair]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_figures_are_those_of_plain_loops(tmp_path, metric, ties, seed):
    sides, columns = random_files(tmp_path, seed, ties)
    expected = naive_retrieval(*columns, metric, 20)
    figures = evaluate_files(sides, metric=metric, max_rank=20).as_dict()
    assert figures["mAP"] == pytest.approx(expected["mean_ap"], abs=1e-6)
    assert figures["mINP"] == pytest.approx(expected["mean_inp"], abs=1e-6)
    assert figures["cmc"] == pytest.approx(expected["cmc"], abs=1e-6)
    assert [figures[f"R{rank}"] for rank in (1, 5, 10)] == [figures["cmc"][rank - 1] for rank in (1, 5, 10)]
    assert figures["num_evaluated"] == expected["num_evaluated"] < 15
    assert figures["num_gallery"] + figures["num_junk"] == 60
    known = [pid for pid in columns[3] if pid != -1]
    assert figures["num_distractors"] == sum(pid not in columns[2] for pid in known)


def test_re_ranking_and_its_numbers_count(tmp_path):
    sides, _ = random_files(tmp_path, 0, ties=False)
    reranking = ReRanking(5, 2, 0.1)
    found = evaluate_files(sides, reranking=reranking)
    query, gallery = sides.query.table, sides.gallery.table
    labels = (query.pids, gallery.pids, query.camids, gallery.camids)
    expected = evaluate_retrieval(query.feats, gallery.feats, *labels, reranking=reranking)
    assert found.as_dict()["mAP"] == expected.mean_ap != evaluate_files(sides).as_dict()["mAP"]
    assert "re-ranking with k1 5, k2 2, lambda 0.1" in found.figures.protocol()


def test_a_gallery_of_one_and_numbers_beyond_it(tmp_path):
    sides = Sides(side("q", [[1.0, 0.0]], [3], [0]), side("g", [[0.0, 1.0]], [3], [1]))
    for reranking in (None, ReRanking(), ReRanking(10**6, 10**6, 0.3)):
        figures = evaluate_files(sides, reranking=reranking, max_rank=1000).as_dict()
        assert (figures["mAP"], figures["cmc"]) == (1.0, [1.0] * 1000)


def test_two_models_on_the_same_images(tmp_path):
    sides, _ = random_files(tmp_path, 1, ties=False)
    others = [
        SavedFeatures(
            one.source, FeatureSet(torch.randn(len(one.table), 7), one.table.pids, one.table.camids), None
        )
        for one in (sides.query, sides.gallery)
    ]
    found = evaluate_files(sides, Sides(*others))
    alone, against = (evaluate_files(one).figures for one in (sides, Sides(*others)))
    assert found.interval == bootstrap_difference(against.result, alone.result)
    assert found.interval.difference == pytest.approx(alone.result.mean_ap - against.result.mean_ap)
    figures = found.as_dict()
    assert figures["mAP"] == alone.result.mean_ap
    assert figures["against"] == against.as_dict()
    assert figures["mAP_difference"] == found.interval._asdict()
    lines = found.as_text().splitlines()
    assert [line.split()[1] for line in lines[2:4]] == ["against", "these"]
    assert lines[4] == f"these less against: {found.interval.describe()}"
    assert lines[5:] == [f"protocol: {alone.protocol()}", f"protocol of against: {against.protocol()}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pids": [7, 8, 9]},
            "q and other must have the same identities, 1 of 3 rows differ (first: row 2, 5 and 9)",
        ),
        ({"camids": [1, 0, 0]}, "the same cameras, 1 of 3 rows differ (first: row 0, 0 and 1)"),
        ({"paths": ["x/a.jpg", "x/c.jpg", "x/b.jpg"]}, "the same file names, 2 of 3 rows differ"),
        ({"feats": np.ones((2, 2)), "pids": [7, 8], "camids": [0, 0]}, "the same rows, they have 3 and 2"),
    ],
)
@pytest.mark.parametrize("of_query", [False, True])
def test_other_images_are_not_compared(change, message, of_query):
    columns = {"feats": np.ones((3, 2)), "pids": [7, 8, 5], "camids": [0, 0, 0]}
    paths = ["a.jpg", "b.jpg", "c.jpg"]
    same = side("q", **columns, paths=paths)
    other = side("other", **columns | {"paths": paths} | change)
    against = Sides(other, same) if of_query else Sides(same, other)
    with pytest.raises(InputError) as caught:
        evaluate_files(Sides(same, same), against)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_and_missing_paths_do_not_make_images_different():
    query, gallery = ([[1.0, 0.0]], [7], [0]), ([[1.0, 0.0]], [7], [1])
    sides = Sides(side("q", *query, ["a/1.jpg"]), side("g", *gallery, ["a/2.jpg"]))
    for paths in (["/data/a/1.jpg"], ["/data/a/2.jpg"]), (None, None):
        others = Sides(side("q", *query, paths[0]), side("g", *gallery, paths[1]))
        assert evaluate_files(sides, others).interval.difference == 0


def test_a_pair_of_files_or_one_of_both_is_named(tmp_path):
    assert read_sides(None, None, None) is None
    path = save(tmp_path / "f.npz", [[1.0]], [1], [0])
    for words in ((path, None, None), (None, path, None), (path, path, path), (path, None, path)):
        with pytest.raises(
            InputError, match="name a file of queries and one of the gallery, or one file of both"
        ):
            read_sides(*words)


@pytest.mark.parametrize("max_rank", [9, 0, -1, 1001, 10**12])
def test_the_length_of_the_curve(tmp_path, max_rank):
    with pytest.raises(InputError, match=f"must have 10 to 1000 ranks, got {max_rank}"):
        evaluate_files(toy(tmp_path), max_rank=max_rank)

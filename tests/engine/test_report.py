"""From a comparison to the page: a toy case by hand, several trials, re-ranking, and refusals."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pages import parse_page
from reports import draw_images

from reid.data.records import Records, ReIDDataset, Trial
from reid.engine import report as module
from reid.engine.evaluate import Evaluator
from reid.engine.report import collect_report, write_report
from reid.evaluation import FeatureSet, ReRanking, Table
from reid.utils import InputError

# Name, identity, camera, and where the feature points, in degrees, under the first model and under the last.
IMAGES = [
    ("q0", 1, 0, 0, 0),
    ("q1", 2, 0, 90, 90),
    ("q2", 9, 0, 45, 45),  # no true match
    ("junk", 1, 0, 1, 1),
    ("g1", 1, 1, 40, 10),
    ("g2", 3, 1, 20, 20),
    ("unknown", -1, 1, 2, 2),
    ("g4", 2, 1, 95, 140),
    ("g5", 3, -1, 100, 100),
]
# By hand from the angles: under each model, the ranked gallery of q0 and q1; q0 alone leaves its junk out.
RANKED = {
    "q0": (["g2", "g1", "g4", "g5"], ["g1", "g2", "g5", "g4"]),
    "q1": (["g4", "g5", "g1", "g2", "junk"], ["g5", "g4", "g2", "g1", "junk"]),
}
PRECISION = {"q0": (1 / 2, 1), "q1": (1, 1 / 2)}


def features(column):
    angles = torch.tensor([math.radians(row[column]) for row in IMAGES])
    pids, camids = (torch.tensor([row[place] for row in IMAGES]) for place in (1, 2))
    # Of different lengths, which cosines do not see.
    feats = torch.stack([angles.cos(), angles.sin()], 1) * torch.arange(1, len(IMAGES) + 1)[:, None]
    return FeatureSet(feats, pids, camids)


@pytest.fixture
def records(tmp_path):
    paths = draw_images(tmp_path, [row[0] for row in IMAGES])
    rows = [(paths[name].name, pid, camid) for name, pid, camid, *_ in IMAGES]
    return Records.from_rows(tmp_path, rows)


def evaluator_of(records, metric="cosine", reranking=None, trials=1):
    own = Trial(np.array([0, 1, 2]), np.arange(3, len(IMAGES)))
    other = Trial(np.array([4, 7]), np.array([0, 1, 5]))
    dataset = ReIDDataset("toy", "Toy", "train", Records.empty(records.root), records, (own, other)[:trials])
    return Evaluator(dataset, None, metric, torch.device("cpu"), "nothing", reranking)


def comparison_of(evaluator, columns=(3, 4)):
    rows = {}
    for column in columns:
        found = features(column)
        rows[f"model {column}"] = SimpleNamespace(features=found, result=evaluator.evaluate(found))
    return SimpleNamespace(
        backbone="toy_net",
        protocol="the toy protocol",
        rows=rows,
        tables=lambda: [Table("", ["model", "mAP"], [[name, "?"] for name in rows])],
        notes=lambda: ["protocol: the toy protocol", "one note"],
    )


def collect(records, columns=(3, 4), **options):
    evaluator = evaluator_of(records, **options)
    return collect_report(comparison_of(evaluator, columns), evaluator)


def test_a_toy_case_by_hand(records):
    report = collect(records)
    names = {str(path): row[0] for path, row in zip(records.paths, IMAGES, strict=True)}
    found = {
        names[query.image]: [[names[match.image] for match in ranking.matches] for ranking in query.rankings]
        for query in report.queries
    }
    assert found == {name: list(lists) for name, lists in RANKED.items()}
    assert [(query.number, query.pid, query.camera) for query in report.queries] == [(1, 1, 1), (2, 2, 1)]
    assert [query.became_right for query in report.queries] == [True, False]
    assert [query.became_wrong for query in report.queries] == [False, True]
    for query in report.queries:
        precisions = [ranking.average_precision for ranking in query.rankings]
        assert precisions == pytest.approx(PRECISION[names[query.image]])
    assert (report.num_became_right, report.num_became_wrong) == (1, 1)
    assert (report.num_evaluated, report.num_ranked, report.num_without_match) == (2, 2, 1)


def test_each_entry_has_its_distance_its_camera_and_whether_it_is_right(records):
    report = collect(records)
    angles = {str(path): row[3:] for path, row in zip(records.paths, IMAGES, strict=True)}
    labels = {str(path): row[1:3] for path, row in zip(records.paths, IMAGES, strict=True)}
    for query in report.queries:
        for model, ranking in enumerate(query.rankings):
            for match in ranking.matches:
                pid, camid = labels[match.image]
                apart = math.radians(angles[query.image][model] - angles[match.image][model])
                assert match.distance == pytest.approx(1 - math.cos(apart), abs=1e-6)
                assert (match.camera, match.is_right) == (-1 if camid == -1 else camid + 1, pid == query.pid)


def test_euclidean_distances_are_no_squares(records):
    report = collect(records, metric="euclidean")
    assert report.metric == "euclidean"
    feats = dict(zip(map(str, records.paths), features(3).feats, strict=True))
    for query in report.queries:
        for match in query.rankings[0].matches:
            expected = float((feats[query.image] - feats[match.image]).norm())
            assert match.distance == pytest.approx(expected, rel=1e-5)


def test_what_else_a_report_takes_from_a_comparison(records):
    report = collect(records)
    assert (report.dataset, report.backbone, report.protocol) == ("Toy", "toy_net", "the toy protocol")
    assert report.notes == ["one note"]  # the protocol stands under the title
    assert [model.name for model in report.models] == ["model 3", "model 4"]
    assert [model.mean_ap for model in report.models] == pytest.approx([0.75, 0.75])
    assert report.models[0].cmc[:2].tolist() == [0.5, 1.0]
    # Two true pairs; of q0 three other gallery images count, of q1 four.
    assert [(len(m.distances.true), len(m.distances.false)) for m in report.models] == [(2, 7)] * 2
    shown = {match.image for q in report.queries for ranking in q.rankings for match in ranking.matches}
    assert set(report.images) == shown | {query.image for query in report.queries}
    assert all(path == records.root / name for name, path in report.images.items())
    assert not report.is_reranked
    assert report.num_trials == 1


def test_one_model_alone(records):
    report = collect(records, columns=(4,))
    assert [len(query.rankings) for query in report.queries] == [1, 1]
    assert (report.num_became_right, report.num_became_wrong) == (0, 0)


def test_of_several_trials_the_first_is_shown(records):
    report = collect(records, trials=2)
    assert [query.number for query in report.queries] == [1, 2]
    assert report.num_trials == 2
    alone = collect(records)
    assert [query.rankings for query in report.queries] == [query.rankings for query in alone.queries]


def test_lists_are_those_before_re_ranking_and_precisions_those_after(records):
    reranking = ReRanking(k1=3, k2=1)
    report, plain = collect(records, reranking=reranking), collect(records)
    assert report.is_reranked
    for query, other in zip(report.queries, plain.queries, strict=True):
        assert [r.matches for r in query.rankings] == [r.matches for r in other.rankings]
    evaluator = evaluator_of(records, reranking=reranking)
    after = evaluator.evaluate(features(4)).trials[0].average_precision[:2]
    assert [query.rankings[-1].average_precision for query in report.queries] == after.tolist()


def test_of_too_many_queries_lists_are_made_for_some(records, monkeypatch):
    monkeypatch.setattr(module, "MAX_RANKED", 1)
    report = collect(records)
    assert [query.number for query in report.queries] == [1]
    assert (report.num_evaluated, report.num_ranked) == (2, 1)
    assert (report.num_became_right, report.num_became_wrong) == (1, 0)


def test_the_page_is_written_whole_and_the_same_twice(records, tmp_path):
    evaluator = evaluator_of(records)
    path = tmp_path / "new folder" / "report.html"
    write_report(comparison_of(evaluator), evaluator, path)
    page = parse_page(path.read_text(encoding="utf-8"))
    assert [article.attributes["data-right"] for article in page.all("article")] == ["01", "10"]
    first = path.read_bytes()
    write_report(comparison_of(evaluator), evaluator, path)
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_an_unreadable_image_leaves_what_was_there(records, tmp_path):
    evaluator = evaluator_of(records)
    path = tmp_path / "out" / "report.html"
    write_report(comparison_of(evaluator), evaluator, path)
    first = path.read_bytes()
    records.path(5).write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^cannot read image .*5\.png: [^\n]*$"):
        write_report(comparison_of(evaluator), evaluator, path)
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_a_name_that_is_no_text_is_written_with_a_question_mark(records, tmp_path):
    name = "odd\udcff.png"
    records.path(1).rename(records.root / name)
    paths = records.paths.astype("U20")
    paths[1] = name
    records = Records(records.root, paths, records.pids, records.camids)
    evaluator = evaluator_of(records)
    write_report(comparison_of(evaluator), evaluator, tmp_path / "report.html")
    assert "odd?.png" in (tmp_path / "report.html").read_text(encoding="utf-8")

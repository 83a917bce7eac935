"""The comparison: its rows, their differences, its details, and what flags of inference do to it."""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from denoisers import randomise_denoisers
from small import draw_people, small_config

from reid.denoise import NoiseSchedule, attach_denoisers, detach_denoisers
from reid.engine.build_data import build_datasets, build_evaluators
from reid.engine.compare import BASELINE, FINAL_FEATURE, FUSED, UNFUSED, compare, count_parameters
from reid.evaluation import bootstrap_difference, measure_latency
from reid.evaluation.camera_pairs import CameraPair
from reid.models import ModelSpec, Preprocessing, ReIDModel
from reid.models.feature import denoise_feature
from reid.models.inference import InferenceOptions

MODULE = importlib.import_module("reid.engine.compare")  # the package has a function of that name
PREPROCESSING = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    root = draw_people(tmp_path_factory.mktemp("data") / "people")
    cfg = small_config(root, root, "DATASETS.NAMES", "['market1501']")
    evaluators = build_evaluators(
        cfg, build_datasets(cfg, train=False), PREPROCESSING, torch.device("cpu"), None
    )
    return next(iter(evaluators.values()))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    plain = ReIDModel(ModelSpec("vit_micro", (32, 32), 3), PREPROCESSING).eval()
    return randomise_denoisers(attach_denoisers(plain, "mlp"))


@pytest.fixture(scope="module")
def plainly(model, evaluator):
    return compare(model, detach_denoisers(model), evaluator, rounds=1)


@pytest.fixture(scope="module")
def final_only(model):
    denoised = denoise_feature(detach_denoisers(model), NoiseSchedule(), 1)
    return randomise_denoisers(denoised).eval()


@pytest.mark.slow
def test_denoiserep_minus_stands_behind_the_baseline(plainly, model, final_only, evaluator):
    found = compare(model, detach_denoisers(model), evaluator, rounds=1, final_only=final_only)
    assert list(found.rows) == [BASELINE, FINAL_FEATURE, UNFUSED, FUSED]
    for name, row in plainly.rows.items():  # the others are what they are without it
        assert torch.equal(found.rows[name].features.feats, row.features.feats)
        assert found.rows[name].gain == row.gain
    assert torch.equal(found.rows[FINAL_FEATURE].features.feats, evaluator.extract(final_only).feats)
    # Never fused: its denoiser costs parameters and products in every inference.
    added = sum(p.numel() for p in final_only.feature_denoisers.parameters())
    assert found.rows[FINAL_FEATURE].num_parameters == found.rows[BASELINE].num_parameters + added > 0
    assert found.rows[FINAL_FEATURE].flops > found.rows[BASELINE].flops
    plain = detach_denoisers(model)
    assert list(compare(plain, None, evaluator, 1, final_only=final_only).rows) == [BASELINE, FINAL_FEATURE]
    both = compare(plain, plain, evaluator, 1, final_only=final_only)
    assert list(both.rows) == [BASELINE, FINAL_FEATURE, "model"]


def test_gains_are_paired_and_of_the_first_row(plainly):
    first, *others = plainly.rows.values()
    assert first.gain is None
    for row in others:
        assert row.gain == bootstrap_difference(first.result, row.result)
    header = plainly.tables()[0].header
    assert header[6] == "mAP less baseline"
    assert plainly.tables()[0].rows[1][6] == others[0].gain.in_points()
    figures = plainly.as_dict()["models"]
    assert figures[BASELINE]["mAP_gain"] is None
    assert figures[FUSED]["mAP_gain_interval"] == [others[-1].gain.low, others[-1].gain.high]


def test_fused_is_as_cheap_as_the_baseline_and_equal_to_unfused(plainly):
    costs = {name: (row.num_parameters, row.flops) for name, row in plainly.rows.items()}
    assert costs[FUSED] == costs[BASELINE]
    assert costs[UNFUSED] > costs[BASELINE]
    a, b = (plainly.rows[name].features.feats.double() for name in (FUSED, UNFUSED))
    largest, mean = plainly.fused_difference
    assert largest == pytest.approx(float((a - b).abs().max() / b.abs().max()), rel=1e-3)
    assert mean == pytest.approx(float((a - b).abs().mean() / b.abs().mean()), rel=1e-3)
    assert 0 < mean < 1e-4
    # The denoisers do something, or a fusion that does nothing would pass.
    assert plainly.baseline_cosine.mean < 0.99999


def test_cosines_are_held_against_those_of_different_images(plainly):
    feats = torch.nn.functional.normalize(plainly.rows[BASELINE].features.feats.double()).numpy()
    pairs = [feats[a] @ feats[b] for a in range(len(feats)) for b in range(len(feats)) if a != b]
    assert plainly.baseline_cosine.between == pytest.approx(np.mean(pairs), abs=1e-9)
    assert f"of different images: mean {np.mean(pairs):.6f}" in "\n".join(plainly.notes())
    assert plainly.as_dict()["baseline_cosine_between_images"] == plainly.baseline_cosine.between


def test_the_hardest_queries_are_those_of_the_lowest_average_precision(plainly, evaluator):
    found = plainly.hardest
    records, trial = evaluator.dataset.test, evaluator.dataset.trials[0]
    last = plainly.rows[FUSED].result.trials[0].average_precision
    answered = sorted(last[~np.isnan(last)])
    assert [query.average_precision[FUSED] for query in found] == answered[: len(found)]
    assert len(found) == min(10, len(answered))
    before = plainly.rows[BASELINE].result.trials[0].average_precision
    paths = records.paths[trial.query].tolist()
    for query in found:
        place = paths.index(query.path)
        row = trial.query[place]
        assert query.average_precision == {BASELINE: before[place], FUSED: last[place]}
        assert (query.pid, query.camera) == (records.pids[row], records.camids[row] + 1)
        right = records.pids[trial.gallery] == query.pid
        assert query.num_matches == (right & (records.camids[trial.gallery] != records.camids[row])).sum()


def test_pairs_of_cameras_are_told_of_the_first_row_and_the_last(plainly):
    assert list(plainly.camera_pairs) == [BASELINE, FUSED]
    assert list(plainly.camera_pairs[FUSED]) == [(1, 2), (2, 1)]  # as in the file names
    _, cameras, hardest = plainly.tables()
    assert cameras.title == (
        "mAP of + DenoiseRep fused by cameras, %, each in one camera's gallery, without re-ranking;"
        " in brackets less baseline, points"
    )
    assert [row[0] for row in cameras.rows] == ["camera 1", "camera 2"]
    assert hardest.title == "hardest queries of + DenoiseRep fused"
    rows = plainly.as_dict()["camera_pairs"][BASELINE]
    assert [(row["query"], row["gallery"]) for row in rows] == [(1, 2), (2, 1)]
    assert {"mAP", "R1", "num_query"} < set(rows[0])


def test_wide_tables_stay_off_the_terminal(plainly):
    pair = CameraPair(0.5, 0.5, 1)
    wide = replace(plainly, camera_pairs={FUSED: {(0, b): pair for b in range(1, 10)}})
    assert "by cameras" not in wide.as_text()
    assert "by cameras" in "".join(table.title for table in wide.tables())
    narrow = replace(plainly, camera_pairs={FUSED: {(0, b): pair for b in range(1, 9)}})
    assert (
        "mAP of + DenoiseRep fused by cameras, %, each in one camera's gallery, without re-ranking\n"
        in narrow.as_text()
    )


def test_one_model_has_no_differences(model, evaluator):
    found = compare(detach_denoisers(model), None, evaluator, rounds=1)
    assert list(found.rows) == [BASELINE]
    assert "less" not in found.as_text()
    assert list(found.hardest[0].average_precision) == [BASELINE]
    assert found.tables()[1].title.endswith("without re-ranking")
    json.dumps(found.as_dict(), allow_nan=False)


def test_what_was_trained_further_is_told(plainly, model, final_only, evaluator):
    assert plainly.retrained == []
    assert "trained further" not in plainly.as_text()
    other = detach_denoisers(model)
    with torch.no_grad():
        next(other.backbone.parameters()).add_(1e-3)
    found = compare(model, other, evaluator, rounds=1, final_only=final_only)
    assert found.retrained == [FINAL_FEATURE, UNFUSED]
    assert "trained further than baseline: + DenoiseRep-, + DenoiseRep unfused; what" in found.as_text()


def test_without_flags_nothing_is_said_of_them(plainly):
    assert plainly.inference == {}
    assert plainly.as_dict()["inference"] == {}
    assert "inference" not in plainly.as_text()
    assert plainly.protocol.endswith("gallery images")


@pytest.mark.slow
def test_with_flags_all_rows_run_under_them_and_a_line_tells_each(plainly, model, evaluator):
    options = InferenceOptions("bfloat16", channels_last=True)
    found = compare(model, detach_denoisers(model), evaluator, rounds=1, options=options)
    assert list(found.rows) == list(plainly.rows)
    for name, row in found.rows.items():
        assert not torch.equal(row.features.feats, plainly.rows[name].features.feats)
        assert torch.allclose(row.features.feats, plainly.rows[name].features.feats, atol=0.1, rtol=0.1)
        assert row.num_parameters == plainly.rows[name].num_parameters
    assert found.protocol == f"{plainly.protocol}, bfloat16, channels last"
    assert found.weight_changes == plainly.weight_changes
    assert list(found.inference) == ["dtype", "channels_last", "together"]
    assert found.inference["dtype"].num_images == min(len(evaluator.dataset.test), 128)
    assert [line.split(" against ")[0] for line in found.notes()[-3:]] == [
        "inference dtype bfloat16",
        "inference channels_last True",
        "inference together bfloat16, channels last",
    ]
    figures = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert figures["inference"]["dtype"]["value"] == "bfloat16"
    assert 0 < figures["inference"]["dtype"]["feature_difference"] < 0.05


def test_the_flags_are_measured_on_the_model_that_is_deployed(model, evaluator, monkeypatch):
    seen = []
    monkeypatch.setattr(MODULE, "flag_differences", lambda model, *rest: seen.append(model) or {})
    compare(model, detach_denoisers(model), evaluator, rounds=1)
    assert not [name for name, _ in seen[0].named_parameters() if "denoiser" in name]  # the fused one


def test_timing_and_flags_see_cameras_and_views(model, evaluator, monkeypatch):
    seen = {}

    def record(models, images, *, sides, rounds):
        seen.update(sides, images=images)
        return measure_latency(models, images, sides=sides, rounds=rounds)

    monkeypatch.setattr(MODULE, "measure_latency", record)
    compare(detach_denoisers(model), None, evaluator, rounds=1)
    expected = evaluator.dataset.test.camids[: len(seen["images"])]
    assert seen["camids"].tolist() == expected.tolist()
    assert len(seen["viewids"]) == len(seen["images"]) == 16


def test_parameters_of_the_embedding_are_all_but_the_classifiers():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = torch.nn.Linear(2, 3)
            self.neck = torch.nn.BatchNorm1d(3)
            self.classifier = torch.nn.Linear(3, 5)
            self.part_necks = torch.nn.ModuleList([torch.nn.BatchNorm1d(3)])
            self.part_classifiers = torch.nn.ModuleList([torch.nn.Linear(3, 5)])

    assert count_parameters(Model()) == 9 + 6 + 6

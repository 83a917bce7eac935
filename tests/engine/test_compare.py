"""The comparison under flags of inference, and what counts as a parameter of the embedding."""

import importlib
import json

import pytest
import torch
from denoisers import randomise_denoisers
from small import draw_people, small_config

from reid.denoise import attach_denoisers, detach_denoisers
from reid.engine.build_data import build_datasets, build_evaluators
from reid.engine.compare import compare, count_parameters
from reid.evaluation import measure_latency
from reid.models import ModelSpec, Preprocessing, ReIDModel
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


def test_without_flags_nothing_is_said_of_them(plainly):
    assert plainly.inference == {}
    assert plainly.as_dict()["inference"] == {}
    assert "inference" not in plainly.as_text()
    assert plainly.protocol.endswith("gallery images")


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
    last = found.as_text().splitlines()[-3:]
    assert [line.split(" against ")[0] for line in last] == [
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

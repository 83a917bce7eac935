"""A sweep's points: what each built by hand gives, one feature pass each, faults that stay in their row."""

from dataclasses import replace

import pytest
import torch
from small import draw_people, small_config
from torch.nn import functional as F

from reid.data import load_dataset
from reid.denoise import (
    Moments,
    attach_denoisers,
    fuse_denoisers,
    gather_statistics,
    solve_denoisers,
    weight_change,
)
from reid.engine.build_data import build_evaluator
from reid.engine.evaluate import Evaluator
from reid.engine.sweep import build_fused, sweep
from reid.evaluation import bootstrap_difference
from reid.models import DenoiseSpec, ModelSpec, Preprocessing, ReIDModel
from reid.models.inference import InferenceOptions
from reid.utils import InputError

SPEC = DenoiseSpec(("attn",), steps=2, beta_end=2e-2, t_rule="50", strength=0.75)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    people = draw_people(tmp_path_factory.mktemp("people"))
    cfg = small_config(people, people / "run")
    preprocessing = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return build_evaluator(
        cfg, load_dataset("market1501", people), preprocessing, torch.device("cpu"), "nothing"
    )


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ReIDModel(ModelSpec("vit_micro", (32, 32), 3)).eval()


@pytest.fixture(scope="module")
def statistics(model):
    images = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return gather_statistics(attach_denoisers(model, "all"), images)


@pytest.fixture
def extracted(monkeypatch):
    """The feature sets of all passes, in their order."""
    found = []
    original = Evaluator.extract

    def record(self, *args, **options):
        found.append(original(self, *args, **options))
        return found[-1]

    monkeypatch.setattr(Evaluator, "extract", record)
    return found


def test_a_point_is_the_same_setting_built_by_hand(model, statistics, evaluator, extracted):
    found = sweep(model, [SPEC], statistics, {"people": evaluator})
    denoised = solve_denoisers(SPEC.attach(model), statistics)
    by_hand = evaluator.extract(fuse_denoisers(denoised))
    untouched, point, _ = extracted
    assert torch.equal(point.feats, by_hand.feats)
    assert not torch.equal(point.feats, untouched.feats)
    measured = found.points[0].measured["people"]
    before, after = (evaluator.evaluate(features) for features in (untouched, by_hand))
    assert measured.result.as_dict() == after.as_dict()
    assert measured.gain == bootstrap_difference(before, after)
    cosines = F.cosine_similarity(by_hand.feats.double(), untouched.feats.double())
    assert measured.turn == pytest.approx(1 - float(cosines.mean()), rel=1e-6)
    assert measured.turn > 0
    changes = weight_change(denoised)
    assert found.points[0].change == pytest.approx(sum(changes.values()) / len(changes))
    assert found.untouched["people"].as_dict() == before.as_dict()
    assert found.protocols["people"] == evaluator.protocol(model).describe()


def test_of_strength_0_is_the_untouched_model_exactly(model, statistics, evaluator, extracted):
    point = sweep(model, [replace(SPEC, strength=0.0)], statistics, {"people": evaluator}).points[0]
    assert torch.equal(extracted[0].feats, extracted[1].feats)
    assert (point.change, point.measured["people"].gain) == (0, (0, 0, 0))
    assert point.measured["people"].turn == 0


def test_one_feature_pass_a_point(model, statistics, evaluator, extracted):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    specs = [SPEC, DenoiseSpec(), DenoiseSpec(("all",))]
    found = sweep(model, specs, statistics, {"people": evaluator})
    assert len(extracted) == 1 + len(specs)
    assert [point.spec for point in found.points] == specs
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_flags_of_inference_hold_for_every_row(model, statistics, evaluator):
    options = InferenceOptions(dtype="bfloat16")
    plain, narrow = (sweep(model, [SPEC], statistics, {"people": evaluator}, o) for o in (None, options))
    assert narrow.protocols["people"] == f"{plain.protocols['people']}, bfloat16"
    turns = [found.points[0].measured["people"].turn for found in (plain, narrow)]
    assert turns[0] != turns[1]


def test_a_point_that_cannot_be_built_is_a_row_and_the_others_go_on(model, statistics, evaluator, extracted):
    wrong = {name: moments for name, moments in statistics.items() if ".attn." not in name}
    specs = [SPEC, DenoiseSpec(("conv1x",)), DenoiseSpec(steps=400), DenoiseSpec(("mlp",))]
    found = sweep(model, specs, wrong, {"people": evaluator})
    assert [bool(point.measured) for point in found.points] == [False, False, False, True]
    for point, message in zip(
        found.points, ("lack the layer", "no layer to denoise", "timesteps"), strict=False
    ):
        assert message in point.fault
        assert point.change is None
    assert len(extracted) == 2


def test_a_point_that_is_not_finite_is_a_row(model, statistics, evaluator, monkeypatch):
    def broken(*args):
        fused, change = build_fused(*args)
        with torch.no_grad():
            next(fused.backbone.parameters()).fill_(float("nan"))
        return fused, change

    monkeypatch.setattr("reid.engine.sweep.build_fused", broken)
    (point,) = sweep(model, [SPEC], statistics, {"people": evaluator}).points
    assert "finite" in point.fault


def test_statistics_that_are_no_covariances_are_a_row(model, statistics, evaluator):
    wrong = {
        name: Moments(moments.count, moments.mean, -10 * moments.scatter)
        for name, moments in statistics.items()
    }
    (point,) = sweep(model, [SPEC], wrong, {"people": evaluator}).points
    assert "well above the rounding of its covariance" in point.fault


def test_a_fault_of_the_untouched_model_stops_the_sweep(statistics, evaluator, model):
    broken = ReIDModel(model.spec).eval()
    with torch.no_grad():
        next(broken.backbone.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="finite"):
        sweep(broken, [SPEC], statistics, {"people": evaluator})

"""What flags of inference do to features, one at a time."""

import json

import pytest
import torch

from reid.engine.flags import FlagDifference, flag_differences, relative_difference
from reid.models import ModelSpec, ReIDModel
from reid.models.inference import InferenceOptions, prepare_for_inference

BATCHES = [(torch.randn(2, 3, 32, 32), torch.tensor([0, 1])), (torch.randn(1, 3, 32, 32), torch.tensor([0]))]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return ReIDModel(ModelSpec("vit_micro", (32, 32), 3))


def test_relative_difference_by_hand():
    assert relative_difference(torch.tensor([1.0, -3.0]), torch.tensor([1.0, -4.0])) == 0.25


def test_nothing_is_embedded_where_no_flag_is_set():
    assert flag_differences(None, InferenceOptions(), BATCHES) == {}


def test_each_flag_alone_and_then_all_of_them(model):
    found = flag_differences(model, InferenceOptions("float16", channels_last=True), BATCHES)
    assert list(found) == ["dtype", "channels_last", "together"]
    assert [flag.value for flag in found.values()] == ["float16", True, "float16, channels last"]
    assert 1e-5 < found["dtype"].difference < 0.01
    assert found["channels_last"].difference < 1e-5
    assert 0.999 < found["dtype"].mean_cosine <= 1.0001
    assert {flag.num_images for flag in found.values()} == {3}


def test_one_flag_is_not_repeated_as_all_of_them(model):
    assert list(flag_differences(model, InferenceOptions("bfloat16"), BATCHES)) == ["dtype"]


def test_the_difference_is_to_the_model_in_evaluation_mode(model):
    dropping = ReIDModel(ModelSpec("vit_micro", (32, 32), 3, drop_path=0.9)).train()
    found = flag_differences(dropping, InferenceOptions(channels_last=True), BATCHES)
    assert found["channels_last"].difference < 1e-5
    assert dropping.training


def test_the_figures_are_those_of_the_prepared_model(model):
    images = torch.cat([images for images, _ in BATCHES])
    with torch.no_grad():
        plain = model.eval().embed(images)
    narrow = prepare_for_inference(model, InferenceOptions("bfloat16")).embed(images)
    cosines = (narrow * plain).sum(1) / (narrow.norm(dim=1) * plain.norm(dim=1))
    flag = flag_differences(model, InferenceOptions("bfloat16"), BATCHES)["dtype"]
    assert flag.difference == pytest.approx(float((narrow - plain).abs().max() / plain.abs().max()), rel=1e-3)
    assert flag.mean_cosine == pytest.approx(float(cosines.mean()), abs=1e-6)


def test_a_flag_in_words_and_for_machines():
    flag = FlagDifference("bfloat16", 0.0123, 0.99987, 128)
    assert flag.as_text("dtype") == (
        "inference dtype bfloat16 against eager float32: largest feature difference, relative: 1.2e-02;"
        " mean cosine 0.999870; 128 images"
    )
    figures = json.loads(json.dumps(flag.as_dict()))
    assert figures == {
        "value": "bfloat16",
        "feature_difference": 0.0123,
        "cosine_mean": 0.99987,
        "num_images": 128,
    }

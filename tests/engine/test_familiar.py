import logging
from dataclasses import replace

import pytest
import torch

from reid.engine.familiar import MOST_IMAGES, is_familiar
from reid.models import ModelSpec, ReIDModel, SideSpec, Training

SPEC = ModelSpec("vit_micro", (32, 32), 5)
TRAINED = Training("Mine", "train", 100, 5, 2, "baseline", 9)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def batches(count=2, size=8):
    return [(torch.randn(size, 3, 32, 32),) for _ in range(count)]


def sure(model, factor=1e4):
    """The same model, whose classifier is sure of some class whatever it sees."""
    torch.nn.init.normal_(model.classifier.weight, std=factor)
    return model


def test_a_random_classifier_is_sure_of_nobody():
    assert is_familiar(ReIDModel(SPEC), None, "Mine", batches()) is False


def test_a_sure_classifier_knows_the_images(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    assert is_familiar(sure(ReIDModel(SPEC)), None, "Mine", batches()) is True
    assert "its classifier is sure by 100 % whom it sees (median)" in caplog.text


@pytest.mark.parametrize("middle", [None, Training("Other", "train", 7, 3, 2, "baseline", 1, before=TRAINED)])
def test_any_training_of_the_chain_on_these_images_tells(middle):
    model = ReIDModel(SPEC)
    assert is_familiar(model, middle or TRAINED, "Mine", []) is True
    assert is_familiar(model, middle or TRAINED, "Another", batches()) is False


@pytest.mark.parametrize("classes", [0, 1])
def test_without_two_identities_a_classifier_tells_nothing(classes):
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), classes))
    assert is_familiar(model, None, "Mine", batches()) is False


def test_without_images_nothing_is_told():
    assert is_familiar(sure(ReIDModel(SPEC)), None, "Mine", []) is False


def test_the_median_decides():
    # Of a constant feature: softmax of two classes alike is a half, of others less.
    model = sure(ReIDModel(SPEC), 0.0)
    assert is_familiar(model, None, "Mine", batches()) is False


def test_only_the_first_images_are_looked_at():
    seen = []

    def endless():
        while True:
            seen.append(200)
            yield (torch.randn(200, 3, 32, 32),)

    is_familiar(ReIDModel(SPEC), None, "Mine", endless())
    assert sum(seen) - 200 < MOST_IMAGES <= sum(seen)


def test_the_mode_and_the_weights_of_the_model_stay():
    model = ReIDModel(ModelSpec("resnet10", (32, 32), 5)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    is_familiar(model, None, "Mine", batches())
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_model_that_knows_cameras_is_given_them(monkeypatch):
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), 5, side=SideSpec((0, 1))))
    given, forward = [], ReIDModel.forward
    monkeypatch.setattr(
        ReIDModel, "forward", lambda self, *inputs: given.append(inputs) or forward(self, *inputs)
    )
    camids = torch.tensor([0, 1])
    is_familiar(model, None, "Mine", [(torch.randn(2, 3, 32, 32), camids, None)])
    assert given[0][1] is camids


@pytest.mark.parametrize("stage", ["label_free", "adaptation"])
def test_what_trains_no_backbone_knows_no_image(stage):
    model = ReIDModel(SPEC)
    assert is_familiar(model, replace(TRAINED, stage=stage), "Mine", batches()) is False
    assert is_familiar(model, replace(TRAINED, stage=stage, before=TRAINED), "Mine", []) is True


def test_of_lists_with_one_title_the_number_of_images_tells():
    model = ReIDModel(SPEC)
    assert is_familiar(model, TRAINED, "Mine", [], 100) is True
    assert is_familiar(model, TRAINED, "Mine", batches(), 99) is False

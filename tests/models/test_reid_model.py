"""Backbone, neck and classifier together."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reid.models import JigsawSpec, ModelSpec, Preprocessing, ReIDModel, ReIDOutput
from reid.utils import InputError

IMAGES = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))

both = pytest.mark.parametrize("name", ["vit_micro", "resnet10"])


def make(name, **options):
    torch.manual_seed(0)
    model = ReIDModel(ModelSpec(name, (64, 32), 7, **options)).eval()
    # A neck that is not the identity, as after training.
    torch.nn.init.normal_(model.neck.running_mean)
    torch.nn.init.uniform_(model.neck.weight, 0.5, 2)
    return model


@both
def test_the_output_is_of_one_type_in_training_and_evaluation(name):
    model = make(name)
    for mode in (True, False):
        output = model.train(mode)(IMAGES)
        assert type(output) is ReIDOutput
        assert output.feat.shape == output.bn_feat.shape == (4, model.dim)
        assert output.logits.shape == (4, 7)


@both
def test_each_part_follows_from_the_one_before(name):
    model = make(name)
    with torch.no_grad():
        output = model(IMAGES)
        assert torch.equal(output.feat, model.backbone(IMAGES))
        neck = model.neck
        by_hand = (output.feat - neck.running_mean) / (neck.running_var + neck.eps).sqrt() * neck.weight
        torch.testing.assert_close(output.bn_feat, by_hand)
        torch.testing.assert_close(output.logits, output.bn_feat @ model.classifier.weight.T)


@both
@pytest.mark.parametrize(("neck_feat", "field"), [("before", "feat"), ("after", "bn_feat")])
def test_embed_gives_the_feature_on_the_side_of_the_neck_that_was_asked_for(name, neck_feat, field):
    model = make(name, neck_feat=neck_feat)
    with torch.no_grad():
        output = model(IMAGES)
        assert torch.equal(model.embed(IMAGES), getattr(output, field))
        assert not torch.allclose(output.feat, output.bn_feat)


@both
def test_every_parameter_but_the_necks_shift_is_trained(name):
    model = make(name).train()
    model(IMAGES).logits.square().sum().backward()
    frozen = [key for key, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen == ["neck.bias"]
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == frozen


def test_the_classifier_has_no_bias_and_small_weights():
    model = make("vit_micro")
    assert model.classifier.bias is None
    assert 0 < model.classifier.weight.std() < 0.002


def test_an_image_s_feature_does_not_depend_on_the_others_in_evaluation():
    model = make("resnet10")
    with torch.no_grad():
        torch.testing.assert_close(model.embed(IMAGES)[:1], model.embed(IMAGES[:1]))


@pytest.mark.parametrize("value", ["", "Before", "both"])
def test_an_unknown_side_of_the_neck_is_refused(value):
    with pytest.raises(InputError, match=f"neck_feat must be before or after, got '{value}'"):
        ModelSpec("vit_micro", (64, 32), 7, neck_feat=value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image_size": (0, 32)},
            r"image_size must be a height and width in 1\.\.4096 pixels, got \(0, 32\)",
        ),
        ({"num_classes": -1}, r"num_classes must be in 0\.\.1000000, got -1"),
        ({"drop_path": float("nan")}, r"drop_path must be in 0\.\.1, got nan"),
        ({"last_stride": 3}, "last_stride must be 1 or 2, got 3"),
    ],
)
def test_numbers_out_of_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        ModelSpec(**{"name": "vit_micro", "image_size": (64, 32), "num_classes": 7, **change})


@both
def test_embedding_keeps_no_graph_in_either_mode(name):
    model = make(name)
    for mode in (True, False):
        assert not model.train(mode).embed(IMAGES).requires_grad
        assert model(IMAGES).feat.requires_grad


def test_a_model_without_preprocessing_says_so():
    with pytest.raises(ValueError, match="built without preprocessing; load_model gives the checkpoint's"):
        make("vit_micro").preprocess("a.jpg")


def test_an_unknown_backbone_is_refused():
    with pytest.raises(InputError, match="unknown backbone"):
        ReIDModel(ModelSpec("vit_tiny", (64, 32), 7))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 32, 64), r"built for images of \(64, 32\), got \(32, 64\)"),
        (torch.zeros(0, 3, 64, 32), "with at least one, got"),
        (torch.zeros(3, 64, 32), r"must be \(B, 3, H, W\)"),
    ],
)
def test_images_that_the_positions_do_not_belong_to_are_refused(images, message):
    model = ReIDModel(ModelSpec("vit_micro", (64, 32), 3)).eval()
    for call in (model, model.embed):
        with pytest.raises(InputError, match=message):
            call(images)


def test_a_convolutional_network_refuses_images_of_a_few_pixels():
    with pytest.raises(InputError, match=r"resnet10 cannot be built: .* at least 32 pixels"):
        ReIDModel(ModelSpec("resnet10", (16, 16), 3))
    with pytest.raises(InputError, match="osnet_x0_25 needs images of 32 pixels and more"):
        ReIDModel(ModelSpec("osnet_x0_25", (64, 32), 3), Preprocessing((8, 8), (0.5,) * 3, (0.5,) * 3))


def test_several_features_are_not_reduced():
    with pytest.raises(InputError, match=r"vit_micro has 5 here; set MODEL.REDUCE_FEAT_DIM False"):
        ReIDModel(ModelSpec("vit_micro", (64, 32), 3, feat_dim=8, jigsaw=JigsawSpec()))


@pytest.mark.parametrize("images", ["a.jpg", Path("a.jpg"), np.zeros((1, 3, 4, 4)), [torch.zeros(3, 4, 4)]])
def test_images_that_are_not_prepared_are_told_where_to_go(images):
    with pytest.raises(InputError, match=f"got {type(images).__name__}; reid.embed takes"):
        make("vit_micro").embed(images)


def test_an_array_is_not_prepared_as_if_it_were_a_path():
    prepare = Preprocessing((8, 4), (0.5,) * 3, (0.5,) * 3)
    for image in (np.zeros((8, 4, 3), np.uint8), None, torch.zeros(3, 8, 4)):
        with pytest.raises(InputError, match="must be a path or a PIL image"):
            prepare(image)

"""What a checkpoint says of itself."""

import platform

import pytest
import torch
from denoisers import randomise_denoisers

import reid
from reid.denoise import NoiseSchedule, attach_denoisers
from reid.models import DenoiseSpec, Header, ModelSpec, Preprocessing, ReIDModel
from reid.utils import InputError

SPEC = DenoiseSpec(("mlp", "attn"), 2, 500, 0.001, 0.01, False)
IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


def make(name="vit_micro"):
    torch.manual_seed(3)
    return ReIDModel(ModelSpec(name, (64, 32), 5)).eval()


def features(model):
    return randomise_denoisers(model).eval().embed(IMAGES)


def test_the_versions_that_wrote_it_are_named():
    versions = Header(
        ModelSpec("vit_micro", (64, 32), 5), Preprocessing((64, 32), (0, 0, 0), (1, 1, 1))
    ).versions
    assert versions["torch"] == torch.__version__
    assert versions["reid"] == reid.__version__
    assert versions["python"] == platform.python_version()
    assert {"timm", "torchvision"} <= set(versions)


def test_every_field_of_a_denoise_spec_reaches_the_denoisers():
    # A round trip cannot see a field that is lost in both directions.
    attached = features(SPEC.attach(make()))
    direct = attach_denoisers(make(), ("mlp", "attn"), NoiseSchedule(500, 0.001, 0.01, False), 2)
    assert torch.equal(features(direct), attached)
    paper = attach_denoisers(make(), ("mlp", "attn"), NoiseSchedule(500, 0.001, 0.01, True), 2)
    assert not torch.equal(features(paper), attached)


def test_a_spec_that_cannot_be_attached_is_an_input_error():
    with pytest.raises(InputError, match="denoisers cannot be attached to resnet10: no layer to denoise"):
        DenoiseSpec(("mlp",)).attach(make("resnet10"))

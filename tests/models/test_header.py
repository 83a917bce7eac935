"""What a checkpoint says of itself."""

import json
import platform
from dataclasses import replace

import pytest
import torch
from denoisers import randomise_denoisers

import reid
from reid.denoise import NoiseSchedule, attach_denoisers
from reid.models import DenoiseSpec, Header, ModelSpec, Preprocessing, ReIDModel
from reid.utils import InputError

SPEC = DenoiseSpec(("mlp", "attn"), 2, 500, 0.001, 0.01, False, "100", 0.5)
PREPROCESSING = Preprocessing((64, 32), (0, 0, 0), (1, 1, 1))
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
    direct = attach_denoisers(make(), ("mlp", "attn"), NoiseSchedule(500, 0.001, 0.01, False), 2, 100, 0.5)
    assert torch.equal(features(direct), attached)
    for other in ({"rescale": True}, {"t_rule": "depth"}, {"t_rule": "spread"}, {"strength": 1.0}):
        assert not torch.equal(features(replace(SPEC, **other).attach(make())), attached)


def test_every_field_of_a_denoise_spec_reaches_the_final_features_denoiser():
    denoisers = replace(SPEC, targets=("feature",)).attach(make()).feature_denoisers
    (denoiser,) = (denoised.denoiser for denoised in denoisers)
    assert denoiser.schedule == NoiseSchedule(500, 0.001, 0.01, False)
    assert (denoiser.timesteps, denoiser.strength) == ((100, 99), 0.5)


def test_a_header_from_before_a_field_takes_the_papers_value(tmp_path):
    """Files of versions without t_rule and strength denoise as they did."""
    header = Header(ModelSpec("vit_micro", (64, 32), 5), PREPROCESSING, DenoiseSpec(("attn",)), "attached")
    tree = json.loads(header.as_json())
    for name in ("t_rule", "strength"):
        del tree["denoise"][name]
    denoise = Header.from_json(json.dumps(tree), tmp_path).denoise
    assert denoise == DenoiseSpec(("attn",), t_rule="depth", strength=1.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strength": 1.5}, r"strength must be in 0\.\.1, got 1\.5"),
        ({"strength": float("nan")}, "strength .* got nan"),
        ({"t_rule": "width"}, "t_rule must be depth, spread or a whole number such as '100', got 'width'"),
    ],
)
def test_a_rule_or_a_strength_that_is_none_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        DenoiseSpec(**fields)


def test_a_spec_that_cannot_be_attached_is_an_input_error():
    with pytest.raises(InputError, match="denoisers cannot be attached to resnet10: no layer to denoise"):
        DenoiseSpec(("mlp",)).attach(make("resnet10"))

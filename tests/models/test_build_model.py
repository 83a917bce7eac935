"""From a configuration to a model and to what a header keeps."""

import pytest
import torch

from reid.config import load_config
from reid.models import DenoiseSpec, ModelSpec, Preprocessing
from reid.models.build import build_denoise_spec, build_model, build_model_spec, build_preprocessing
from reid.utils import InputError

SMALL = ["MODEL.NAME", "vit_micro", "INPUT.SIZE_TRAIN", "[64,32]", "INPUT.SIZE_TEST", "[64,32]"]


def test_every_key_reaches_the_model_spec():
    words = ["MODEL.DROP_PATH", "0.2", "MODEL.LAST_STRIDE", "2", "TEST.NECK_FEAT", "after"]
    spec = build_model_spec(load_config(None, SMALL + words), 9)
    assert spec == ModelSpec("vit_micro", (64, 32), 9, drop_path=0.2, last_stride=2, neck_feat="after")


def test_every_key_reaches_the_denoise_spec():
    words = (
        "DENOISE.TARGETS ['conv','mlp'] DENOISE.STEPS 2 DENOISE.TIMESTEPS 50 DENOISE.BETA_START 0.01"
        " DENOISE.BETA_END 0.02 DENOISE.RESCALE false DENOISE.T_RULE 7 DENOISE.STRENGTH 0.5"
    )
    spec = build_denoise_spec(load_config(None, words.split()))
    assert spec == DenoiseSpec(("conv", "mlp"), 2, 50, 0.01, 0.02, False, "7", 0.5)


def test_the_defaults_of_config_and_denoise_spec_agree():
    assert build_denoise_spec(load_config()) == DenoiseSpec()


def test_every_key_reaches_the_preprocessing():
    words = [
        "INPUT.SIZE_TEST",
        "[96,48]",
        "INPUT.PIXEL_MEAN",
        "[0.1,0.2,0.3]",
        "INPUT.PIXEL_STD",
        "[0.4,0.5,0.6]",
    ]
    expected = Preprocessing((96, 48), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert build_preprocessing(load_config(None, words)) == expected


def test_a_model_is_built_as_described():
    model = build_model(load_config(None, SMALL), 9)
    assert model.classifier.weight.shape == (9, 128)
    assert model.preprocessing.size == (64, 32)


def test_a_model_starts_from_the_pre_training_with_its_ratio(tmp_path):
    source = build_model(load_config(None, SMALL), 9)
    large = ["MODEL.NAME", "vit_micro", "INPUT.SIZE_TRAIN", "[128,64]", "INPUT.SIZE_TEST", "[128,64]"]
    torch.save(build_model(load_config(None, large), 4).state_dict(), tmp_path / "w.pth")
    words = [*SMALL, "MODEL.PRETRAIN_PATH", str(tmp_path / "w.pth")]
    model = build_model(load_config(None, [*words, "MODEL.PRETRAIN_HW_RATIO", "2"]), 9)
    kept = torch.load(tmp_path / "w.pth")["backbone.blocks.0.mlp.fc1.weight"]
    assert torch.equal(model.backbone.blocks[0].mlp.fc1.weight, kept)
    assert not torch.equal(source.backbone.blocks[0].mlp.fc1.weight, kept)
    with pytest.raises(InputError, match=r"MODEL\.PRETRAIN_HW_RATIO"):
        build_model(load_config(None, words), 9)


def test_a_vision_transformer_refuses_a_test_size_of_its_own():
    words = ["MODEL.NAME", "vit_micro", "INPUT.SIZE_TRAIN", "[64,32]", "INPUT.SIZE_TEST", "[128,64]"]
    with pytest.raises(
        InputError, match=r"\[128, 64\] \(INPUT.SIZE_TEST\) must equal \[64, 32\] \(INPUT.SIZE_TRAIN\)"
    ):
        build_model(load_config(None, words), 9)


def test_a_resnet_works_at_a_test_size_of_its_own():
    words = ["MODEL.NAME", "resnet10", "INPUT.SIZE_TRAIN", "[64,32]", "INPUT.SIZE_TEST", "[96,48]"]
    model = build_model(load_config(None, words), 9).eval()
    with torch.no_grad():
        assert model.embed(torch.zeros(1, 3, 96, 48)).shape == (1, 512)


def test_a_pre_training_that_is_missing_is_refused():
    with pytest.raises(InputError, match=r"weights not found: none\.pth does not exist"):
        build_model(load_config(None, [*SMALL, "MODEL.PRETRAIN_PATH", "none.pth"]), 9)


def test_channels_last_is_the_same_network():
    words = ["MODEL.NAME", "resnet10", "INPUT.SIZE_TRAIN", "[64,32]", "INPUT.SIZE_TEST", "[64,32]"]
    plain = build_model(load_config(None, words), 3).eval()
    model = build_model(load_config(None, [*words, "MODEL.CHANNELS_LAST", "True"]), 3).eval()
    model.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    weight = model.backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model.embed(images), plain.embed(images), rtol=1e-4, atol=1e-4)

"""What a model is in a sentence, and which words of a configuration build it."""

import shlex

import pytest
from small import small_config

from reid.config import load_config
from reid.models import DenoiseSpec, JigsawSpec, ModelSpec, SideSpec
from reid.models.build import build_denoise_spec, build_model_spec
from reid.models.words import config_words, denoise_keys, denoise_words, describe_denoise, describe_model

SIDE = SideSpec((0, 1, 2), (0, 1), 1.5, "veri")


def spec(name="vit_micro", **options):
    return ModelSpec(name, (64, 32), 5, **options)


WORDS = {
    "plain": ({}, ""),
    "patches": ({"patch_stride": (6, 4)}, ' MODEL.STRIDE_SIZE "[6, 4]"'),
    "cameras": ({"side": SideSpec((0, 1))}, " MODEL.SIE_CAMERA True"),
    "views": ({"side": SideSpec((), (0, 1))}, " MODEL.SIE_VIEW True"),
    "both": ({"side": SIDE}, " MODEL.SIE_CAMERA True MODEL.SIE_VIEW True MODEL.SIE_COE 1.5"),
    "stem": ({"conv_stem": True}, " MODEL.STEM_CONV True"),
    "pooling": ({"gem": True}, " MODEL.GEM_POOLING True"),
    "reduced": ({"feat_dim": 16}, " MODEL.REDUCE_FEAT_DIM True MODEL.FEAT_DIM 16"),
    "neck": ({"neck_feat": "after"}, " TEST.NECK_FEAT after"),
    "jigsaw": ({"jigsaw": JigsawSpec(shift=8)}, " MODEL.JPM True MODEL.SHIFT_NUM 8"),
}


@pytest.mark.parametrize("case", WORDS)
def test_only_what_differs_from_a_plain_network_has_words(case):
    options, expected = WORDS[case]
    assert config_words(spec(**options)) == f"MODEL.NAME vit_micro{expected}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", " MODEL.LAST_STRIDE 2"),
        ("clip_resnet50", " MODEL.LAST_STRIDE 2"),
        ("osnet_x0_25", ""),  # reads no such key
    ],
)
def test_the_last_stride_is_named_where_it_is_read(name, expected):
    assert config_words(spec(name, last_stride=2)) == f"MODEL.NAME {name}{expected}"
    assert config_words(spec(name)) == f"MODEL.NAME {name}"


@pytest.mark.parametrize("case", [case for case in WORDS if case not in ("cameras", "views", "both")])
def test_a_configuration_of_these_words_builds_the_same_network(case, tmp_path):
    wanted = spec(drop_path=0.1, **WORDS[case][0])
    words = config_words(wanted).replace('"', "").replace(", ", ",").split()
    cfg = small_config(tmp_path, tmp_path, "INPUT.SIZE_TRAIN", "[64, 32]", *words)
    assert build_model_spec(cfg, 5) == wanted


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "vit_micro"),
        (
            {"patch_stride": (6, 4), "conv_stem": True},
            "vit_micro, patches 6 apart down and 4 across, a stem of convolutions",
        ),
        (
            {"side": SIDE},
            "vit_micro, side information of 3 cameras and 2 views of veri, as the number of identities says,"
            " factor 1.5",
        ),
        ({"side": SideSpec((0,))}, "vit_micro, side information of 1 cameras and 0 views, factor 3"),
        ({"jigsaw": JigsawSpec(2, 3)}, "vit_micro, 2 jigsaw parts shifted by 3"),
        (
            {"gem": True, "feat_dim": 16},
            "vit_micro, generalised-mean pooling, of exponent 3 where the file has none, feature reduced to"
            " 16",
        ),
    ],
)
def test_a_model_is_described_by_its_name_and_what_it_has_beyond_it(options, expected):
    assert describe_model(spec(**options)) == expected


DENOISING = {
    "usual": ({}, "mlp, t depth, 1 step, beta to 0.002, strength 1"),
    "changed": (
        {"targets": ("attn", "conv"), "steps": 2, "t_rule": "9", "beta_end": 2e-2, "strength": 0.5},
        "attn + conv, t 9, 2 steps, beta to 0.02, strength 0.5",
    ),
    "rare": (
        {"timesteps": 10, "beta_start": 1e-3, "rescale": False},
        "mlp, t depth, 1 step, beta to 0.002, strength 1, from 0.001, 10 timesteps, not rescaled",
    ),
}


@pytest.mark.parametrize("case", DENOISING)
def test_a_setting_of_the_denoising_in_words_and_back_from_what_is_typed(case):
    options, words = DENOISING[case]
    own = DenoiseSpec(**options)
    assert describe_denoise(own) == words
    assert build_denoise_spec(load_config(None, shlex.split(denoise_words(own)))) == own
    assert denoise_keys(own)["DENOISE.TARGETS"] == list(own.targets)


def test_the_targets_are_one_word_of_a_shell():
    assert denoise_words(DenoiseSpec((r"a b\.\d",))).startswith("""DENOISE.TARGETS '["a b""")

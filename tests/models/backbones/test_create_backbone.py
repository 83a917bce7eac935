"""Backbones by name: shapes, grids, strides and timm's own keys."""

import pytest
import timm
import torch

from reid.models import BACKBONES, JigsawSpec, ModelSpec, SideSpec, create_backbone
from reid.models.backbones import patch_grid
from reid.models.backbones.osnet import OSNETS
from reid.utils import InputError


def create(name, size, **options):
    return create_backbone(ModelSpec(name, size, 0, **options))


IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "dim"), [("vit_micro", 128), ("resnet10", 512), ("resnet14", 2048)])
def test_small_backbones_give_one_feature_an_image(name, dim):
    backbone = create(name, (64, 32)).eval()
    assert backbone.num_features == dim
    with torch.no_grad():
        assert backbone(IMAGES).shape == (2, dim)


def test_vit_small_has_a_grid_of_16x8_and_timms_keys_at_256x128():
    backbone = create("vit_small", (256, 128)).eval()
    assert patch_grid(backbone) == (16, 8)
    assert backbone.pos_embed.shape == (1, 1 + 16 * 8, 384)
    assert list(backbone.state_dict()) == list(
        timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    )
    with torch.no_grad():
        assert backbone(torch.zeros(1, 3, 256, 128)).shape == (1, 384)


def test_a_vision_transformer_returns_its_class_token():
    backbone = create("vit_micro", (64, 32)).eval()
    with torch.no_grad():
        tokens = backbone.forward_features(IMAGES)
        assert tokens.shape == (2, 1 + 8 * 4, 128)
        torch.testing.assert_close(backbone(IMAGES), tokens[:, 0])


@pytest.mark.parametrize(("last_stride", "cells"), [(1, (16, 8)), (2, (8, 4))])
@pytest.mark.parametrize("name", ["resnet50", "resnet10"])
def test_the_last_stride_decides_the_map_at_256x128_and_no_key(name, last_stride, cells):
    backbone = create(name, (256, 128), last_stride=last_stride).eval()
    timm_name = {"resnet50": "resnet50", "resnet10": "resnet10t"}[name]
    plain = timm.create_model(timm_name, num_classes=0).state_dict()
    assert {k: v.shape for k, v in backbone.state_dict().items()} == {k: v.shape for k, v in plain.items()}
    with torch.no_grad():
        features = backbone.forward_features(torch.zeros(1, 3, 256, 128))
    assert features.shape[2:] == cells


def test_a_resnet_averages_its_last_map():
    backbone = create("resnet10", (64, 32)).eval()
    with torch.no_grad():
        torch.testing.assert_close(backbone(IMAGES), backbone.forward_features(IMAGES).mean((2, 3)))


def test_last_stride_1_computes_the_strided_map_at_more_places():
    # Where the first block's stride only skips places, every second cell of its output is the old one.
    torch.manual_seed(0)
    dense = create("resnet50", (64, 64), last_stride=1).eval()
    strided = create("resnet50", (64, 64), last_stride=2).eval()
    strided.load_state_dict(dense.state_dict())
    x = torch.randn(1, 1024, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(dense.layer4[0](x)[..., ::2, ::2], strided.layer4[0](x))


def test_the_stem_of_fastreid_pools_windows_that_start_at_the_first_pixel():
    with_padding = create("resnet50", (64, 32)).maxpool(IMAGES)
    without = create("resnet50_fastreid", (64, 32)).maxpool(IMAGES)
    assert without.shape == with_padding.shape == (2, 3, 32, 16)
    torch.testing.assert_close(without[..., 0, 0], IMAGES[..., :3, :3].amax((2, 3)))
    torch.testing.assert_close(with_padding[..., 0, 0], IMAGES[..., :2, :2].amax((2, 3)))


def test_drop_path_reaches_the_vision_transformer():
    rates = [block.drop_path1 for block in create("vit_micro", (64, 32), drop_path=0.3).blocks]
    assert rates[-1].drop_prob == pytest.approx(0.3)


def test_patch_grid_is_none_without_patches():
    assert patch_grid(create("resnet10", (64, 32))) is None


@pytest.mark.parametrize(
    ("name", "size", "patch"), [("vit_micro", (64, 30), 8), ("vit_small", (250, 128), 16)]
)
def test_a_size_that_is_no_multiple_of_the_patch_is_refused(name, size, patch):
    match = rf"{name} cannot be built: .* multiples of the patch \({patch} pixels\), got {size[0]}x{size[1]}"
    with pytest.raises(InputError, match=match):
        create(name, size)


def test_an_unknown_backbone_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"backbone \(MODEL.NAME\) 'resnet5': did you mean 'resnet50'\?"):
        create("resnet5", (64, 32))


def test_every_family_of_the_tables_has_its_names():
    wanted = {"vit_base", "vit_small", "vit_small_legacy", "clip_vit_base", "clip_resnet50", *OSNETS}
    wanted |= {"swin_small", "swin_base", "swinv2_tiny", "swinv2_small", "swinv2_base"}
    wanted |= {
        f"resnet{depth}{ibn}" for depth in (50, 101) for ibn in ("", "_ibn", "_fastreid", "_transreid")
    }
    assert wanted <= set(BACKBONES)
    assert len(set(BACKBONES)) == len(BACKBONES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "resnet10",
            {"patch_stride": (12, 12)},
            r"another stride of patches \(MODEL.STRIDE_SIZE\)",
        ),
        ("resnet10", {"jigsaw": JigsawSpec()}, r"no place for jigsaw branches \(MODEL.JPM\); leave it out"),
        ("osnet_x0_25", {"gem": True}, r"no place for generalised-mean pooling \(MODEL.GEM_POOLING\)"),
        ("swin_tiny", {"side": SideSpec((0, 1))}, r"no place for side information \(MODEL.SIE_CAMERA"),
        ("clip_vit_micro", {"conv_stem": True}, r"no place for a stem of convolutions \(MODEL.STEM_CONV\)"),
        ("vit_micro", {"gem": True, "jigsaw": JigsawSpec()}, "set MODEL.GEM_POOLING False"),
        ("vit_micro", {"conv_stem": True, "patch_stride": (4, 4)}, "needs the patch's own stride 8"),
    ],
)
def test_an_option_that_a_backbone_has_no_place_for_is_refused_by_its_key(name, options, message):
    with pytest.raises(InputError, match=message):
        create(name, (64, 32), **options)


@pytest.mark.parametrize("name", ["clip_resnet14", "swin_tiny"])
def test_an_image_that_does_not_fit_the_network_is_refused(name):
    with pytest.raises(InputError, match=f"{name} cannot be built: .*, got \\(40, 24\\)"):
        create(name, (40, 24))


@torch.no_grad()
def test_a_swins_windows_attend_fused_and_equal_to_timms():
    torch.manual_seed(0)
    swin = create("swin_tiny", (64, 32)).eval()
    fused = swin(IMAGES)
    windows = [module for module in swin.modules() if hasattr(module, "fused_attn")]
    assert len(windows) == 12
    assert all(window.fused_attn for window in windows)
    for window in windows:
        window.fused_attn = False
    torch.testing.assert_close(fused, swin(IMAGES))

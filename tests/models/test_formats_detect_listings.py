"""Formats of peers' checkpoints by their keys and shapes: every listing by hand."""

import pytest
from peers import LISTINGS, listing

from reid.models.formats import detect

HALF, IMAGENET = (0.5, 0.5, 0.5), (0.485, 0.456, 0.406)
# family, network, width, feature, identities, size, stride, cameras and views, parts
LISTED = {
    "clipreid_baseline_vit_msmt17": ("clip-reid", "clip_vit", 768, 1280, 1041, (256, 128), 16, (0, 0), ""),
    "clipreid_rn50_msmt17": ("clip-reid", "clip_resnet", 2048, 3072, 1041, (256, 128), 16, (0, 0), ""),
    "clipreid_vit_msmt17": ("clip-reid", "clip_vit", 768, 1280, 1041, (256, 128), 16, (0, 0), ""),
    "clipreid_vit_sie_olp_msmt17": ("clip-reid", "clip_vit", 768, 1280, 1041, (256, 128), 12, (15, 0), "sie"),
    "denoiserep_vit_base_ics_384_msmt17": (
        "denoiserep",
        "vit",
        768,
        768,
        1041,
        (384, 128),
        16,
        (0, 0),
        "ics",
    ),
    "denoiserep_vit_small_msmt17": ("denoiserep", "vit", 384, 384, 1041, (256, 128), 16, (0, 0), ""),
    "fastreid_market_AGW_R50": (
        *("fast-reid", "resnet", 2048, 2048, 751, (256, 128), None, (0, 0), "non_local"),
    ),
    "fastreid_market_bagtricks_R50": ("fast-reid", "resnet", 2048, 2048, 751, (256, 128), None, (0, 0), ""),
    "fastreid_market_bagtricks_vit": ("fast-reid", "vit", 768, 768, 751, (256, 128), 16, (0, 0), ""),
    "fastreid_msmt_sbs_R50_ibn": (
        *("fast-reid", "resnet", 2048, 2048, 1041, (256, 128), None, (0, 0), "gem ibn non_local"),
    ),
    "torchreid_osnet_ain_x1_0_msmt17": ("torchreid", "osnet", 512, 512, 1041, (256, 128), None, (0, 0), ""),
    "torchreid_osnet_x0_25_msmt17": ("torchreid", "osnet", 128, 512, 1041, (256, 128), None, (0, 0), ""),
    "torchreid_osnet_x1_0_msmt17": ("torchreid", "osnet", 512, 512, 1041, (256, 128), None, (0, 0), ""),
    "torchreid_resnet50_fc512_msmt17": (
        *("torchreid", "resnet", 2048, 512, 1041, (256, 128), None, (0, 0), "fc"),
    ),
    "torchreid_resnet50_msmt17": ("torchreid", "resnet", 2048, 2048, 1041, (256, 128), None, (0, 0), ""),
    "transreid_deit_small_msmt17": ("transreid", "vit", 384, 384, 1041, (256, 128), 16, (0, 0), ""),
    "transreid_resnet50_msmt17": (
        *("transreid", "resnet", 2048, 2048, 1041, (256, 128), None, (0, 0), "bare_stem"),
    ),
    "transreid_veri_sie_cam_view": ("transreid", "vit", 768, 3840, 575, (256, 256), 16, (20, 8), "jpm sie"),
    "transreid_vit_base_jpm_sie_stride12_msmt17": (
        *("transreid", "vit", 768, 3840, 1041, (256, 128), 12, (15, 0), "jpm sie"),
    ),
    "transreid_vit_base_msmt17": ("transreid", "vit", 768, 768, 1041, (256, 128), 16, (0, 0), ""),
    "transreid_vit_small_legacy_msmt17": (
        *("transreid", "vit", 768, 768, 1041, (256, 128), 16, (0, 0), "no_qkv_bias"),
    ),
    "transreidssl_resnet50_ibn_a": (
        *("transreid-ssl", "resnet", 2048, 2048, 1041, (256, 128), None, (0, 0), "ibn"),
    ),
    "transreidssl_vit_base_ics_384_msmt17": (
        *("transreid-ssl", "vit", 768, 768, 1041, (384, 128), 16, (0, 0), "ics"),
    ),
    "transreidssl_vit_small_ics_msmt17": (
        *("transreid-ssl", "vit", 384, 384, 1041, (256, 128), 16, (0, 0), "ics"),
    ),
    "transreidssl_vit_small_msmt17": ("transreid", "vit", 384, 384, 1041, (256, 128), 16, (0, 0), ""),
}


@pytest.mark.skipif(not LISTINGS.is_dir(), reason="the key listings of peers' checkpoints are not here")
def test_every_listing_is_read():
    assert {path.stem for path in LISTINGS.iterdir()} == set(LISTED)


@pytest.mark.skipif(not LISTINGS.is_dir(), reason="the key listings of peers' checkpoints are not here")
@pytest.mark.parametrize("name", LISTED)
def test_a_listing_is_what_its_name_says(name):
    family, network, width, feature, classes, size, stride, cameras_views, parts = LISTED[name]
    form = detect(listing(name))
    assert (form.family.name, form.network, form.width) == (family, network, width)
    assert (form.feature_dim, form.num_classes, form.image_size) == (feature, classes, size)
    assert (form.grid and form.grid.stride, (form.cameras, form.views)) == (stride, cameras_views)
    assert form.parts == set(parts.split())
    assert form.images.mean == (HALF if network.endswith("vit") else IMAGENET)
    assert form.images.interpolation == ("bicubic" if family == "fast-reid" else "bilinear")
    assert form.describe().count("\n") == 0

"""Formats by their keys: every listing of a peer's checkpoint, small dicts by hand, nothing guessed."""

import pytest
from peers import LISTINGS, listing, prefixed

from reid.models.formats import FAMILIES, detect
from reid.utils import InputError

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
        *("torchreid", "resnet", 2048, 512, 1041, (256, 128), None, (0, 0), "reduced"),
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


def vit(dim=384, tokens=129, depth=2, patch=16):
    """The keys of a vision transformer that matter, at a depth that keeps a test readable."""
    blocks = {f"blocks.{i}.attn.qkv.{kind}": (3 * dim,) for i in range(depth) for kind in ("weight", "bias")}
    return {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, tokens, dim),
        "patch_embed.proj.weight": (dim, 3, patch, patch),
        **blocks,
    }


def resnet():
    blocks = {f"layer{i}.0.conv1.weight": (64, 64, 1, 1) for i in (1, 2, 3, 4)}
    return {"conv1.weight": (64, 3, 7, 7), **blocks, "layer4.0.bn3.weight": (2048,)}


def osnet():
    keys = {f"conv{i}.{n}.gate.fc1.bias": (4,) for i in (2, 3, 4) for n in (0, 1)}
    return {"conv2.0.conv2a.conv1.weight": (16, 16, 1, 1), **keys, "conv5.conv.weight": (128, 128, 1, 1)}


BACKBONE = prefixed(vit(), "backbone.")
BY_HAND = {
    "a teacher": (BACKBONE | {"head.mlp.0.weight": (2048, 384)}, "ssl-pretraining", 0),
    "a bare ICS pre-training": (vit() | {"patch_embed.conv.0.weight": (64, 3, 7, 7)}, "ssl-pretraining", 0),
    "timm": (vit(tokens=197) | {"head.weight": (1000, 384)}, "imagenet", 0),
    "timm without a head": (vit(tokens=197), "imagenet", 0),
    "torchvision": (resnet() | {"fc.weight": (1000, 2048)}, "imagenet", 0),
    "torchreid's resnet": (
        resnet() | {"classifier.weight": (9, 2048), "classifier.bias": (9,)},
        "torchreid",
        9,
    ),
    "osnet without a classifier": (osnet(), "torchreid", 0),
    "fast-reid until 2020": (
        BACKBONE
        | {"heads.bnneck.weight": (384,), "heads.classifier.weight": (9, 384), "pixel_mean": (1, 3, 1, 1)},
        "fast-reid",
        9,
    ),
    "fast-reid until 2021": (
        BACKBONE | {"heads.bottleneck.0.weight": (384,), "heads.classifier.weight": (9, 384)},
        "fast-reid",
        9,
    ),
    "fast-reid": (BACKBONE | {"heads.bottleneck.0.weight": (384,), "heads.weight": (9, 384)}, "fast-reid", 9),
    "AM-softmax": (prefixed(vit(), "base.") | {"classifier.W": (384, 9)}, "transreid", 9),
    "reduced": (prefixed(vit(), "base.") | {"fcneck.weight": (256, 384)}, "transreid-ssl", 0),
    "ours": (BACKBONE | {"neck.weight": (384,), "classifier.weight": (9, 384)}, "ours", 9),
    "ours without a neck": (BACKBONE | {"classifier.weight": (9, 384)}, "ours", 9),
}


GENERATIONS = {"fast-reid until 2020": 1, "fast-reid until 2021": 2, "fast-reid": 3}


@pytest.mark.parametrize("name", BY_HAND)
def test_small_dicts_are_told_apart(name):
    shapes, family, classes = BY_HAND[name]
    form = detect(shapes)
    assert (form.family.name, form.num_classes) == (family, classes)
    assert form.generation == GENERATIONS.get(name, 0)
    assert detect(shapes, family) == form


def test_deits_second_token_is_no_patch():
    form = detect(vit(tokens=198) | {"dist_token": (1, 1, 384)})
    assert (form.image_size, form.num_patches, form.images.mean) == ((224, 224), 196, IMAGENET)
    assert detect(vit(tokens=197)).images.mean == HALF


@pytest.mark.parametrize(
    ("rows", "classes", "expected"),
    [
        (6, 751, (6, 0)),
        (8, 702, (8, 0)),
        (20, 576, (20, 0)),
        (8, 575, (0, 8)),
        (160, 575, (20, 8)),
        (7, 751, (None, None)),
        (8, 300, (None, None)),
    ],
)
def test_side_information_is_split_only_where_the_data_set_is_known(rows, classes, expected):
    keys = prefixed(vit() | {"sie_embed": (rows, 1, 384)}, "base.") | {"classifier.weight": (classes, 384)}
    form = detect(keys)
    assert (form.side_rows, form.cameras, form.views) == (rows, *expected)


@pytest.mark.parametrize(
    ("patches", "size", "stride"),
    [
        (192, (384, 128), 16),
        (310, (384, 128), 12),
        (441, (256, 256), 12),
        (196, (224, 224), 16),
        (100, None, None),
    ],
)
def test_the_number_of_patches_gives_size_and_stride_or_nothing(patches, size, stride):
    form = detect(prefixed(vit(tokens=1 + patches), "base."))
    assert (form.image_size, form.grid and form.grid.stride) == (size, stride)
    assert detect(prefixed(vit(tokens=1 + patches, patch=8), "base.")).image_size is None


def refusal(shapes, family=None):
    with pytest.raises(InputError) as caught:
        detect(shapes, family)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("shapes", "names"),
    [
        (BACKBONE, "ssl-pretraining and fast-reid and ours"),
        (resnet(), "torchreid and imagenet"),
        (
            prefixed(vit(), "base.") | {"image_encoder.class_embedding": (384,)},
            "transreid and clip-reid",
        ),
    ],
)
def test_what_fits_two_families_is_not_guessed(shapes, names):
    assert refusal(shapes).startswith(f"the keys fit more than one family, {names}; say which is meant with")
    for family in names.split(" and ")[:2]:
        if family != "clip-reid":
            assert detect(shapes, family).family.name == family


def test_unknown_keys_are_answered_with_some_of_them_and_the_known_families():
    message = refusal({"encoder.a": (1,), "encoder.b": (2,), "encoder.c": (3,), "encoder.d": (4,)})
    assert message.startswith(
        "the keys fit no known family: encoder.a, encoder.b, encoder.c of 4; known are deno"
    )
    assert all(family.name in message for family in FAMILIES)


def test_another_family_than_the_named_one_is_refused():
    expected = "the keys must be of the family torchreid (of "
    assert refusal(prefixed(vit(), "base."), "torchreid").startswith(expected)
    assert refusal(prefixed(vit(), "base."), "torchreid").endswith("but they are transreid")
    assert refusal({"encoder.a": (1,)}, "torchreid").endswith("but they are of no known family")


@pytest.mark.parametrize(
    "shapes",
    [
        {"base.encoder.weight": (1,)},
        {"base.cls_token": (1, 1, 384)},
        {"base.cls_token": (), "base.pos_embed": ()},
    ],
)
def test_a_family_without_a_network_is_refused(shapes):
    assert refusal(shapes).startswith(
        "the keys are of the family transreid, but no network can be read off them"
    )

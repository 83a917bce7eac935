"""Formats by their keys: small dicts by hand, nothing guessed."""

import pytest
from peers import prefixed

from reid.models.formats import FAMILIES, detect
from reid.utils import InputError

HALF, IMAGENET = (0.5, 0.5, 0.5), (0.485, 0.456, 0.406)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)


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


def swin(version=1, width=768):
    keys = {
        f"layers.{i}.blocks.{n}.attn.qkv.weight": (1, 1)
        for i, count in enumerate((2, 2, 6, 2))
        for n in range(count)
    }
    scale = {"layers.0.blocks.0.attn.logit_scale": (3, 1, 1)} if version == 2 else {}
    return keys | scale | {"norm.weight": (width,), "layers.0.blocks.1.attn_mask": (64, 49, 49)}


def clip_vit(tokens=197):
    """OpenAI's archive, whose text side has a positional embedding of its own."""
    own = {
        "class_embedding": (768,),
        "positional_embedding": (tokens, 768),
        "conv1.weight": (768, 3, 16, 16),
        "transformer.resblocks.0.ln_1.weight": (768,),
    }
    text = {"positional_embedding": (77, 512), "transformer.resblocks.0.ln_1.weight": (512,)}
    return prefixed(own, "visual.") | text | {"logit_scale": (), "input_resolution": ()}


def clip_resnet(tokens=50):
    own = resnet() | {"conv1.weight": (32, 3, 3, 3), "attnpool.positional_embedding": (tokens, 2048)}
    return prefixed(own, "visual.")


BACKBONE = prefixed(vit(), "backbone.")
BY_HAND = {
    "OpenAI's CLIP": (clip_vit(), "clip", 0),
    "OpenAI's CLIP ResNet": (clip_resnet(), "clip", 0),
    "Swin": (swin() | {"head.weight": (1000, 768)}, "imagenet", 0),
    "timm's SwinV2": (swin(2), "imagenet", 0),
    "IBN-Net": (resnet() | {"layer1.0.bn1.IN.weight": (32,), "fc.weight": (1000, 2048)}, "imagenet", 0),
    "fast-reid without a neck": (BACKBONE | {"heads.weight": (9, 384)}, "fast-reid", 9),
    "fast-reid without a classifier": (BACKBONE | {"heads.bottleneck.0.weight": (384,)}, "fast-reid", 0),
    "our jigsaw": (
        BACKBONE
        | {"backbone.global_branch.1.bias": (384,), "part_necks.0.weight": (384,), "neck.bias": (384,)},
        "ours",
        0,
    ),
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


GENERATIONS = {
    "fast-reid until 2020": 1,
    "fast-reid until 2021": 2,
    "fast-reid": 3,
    "fast-reid without a neck": 3,
}


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


def test_a_patch_that_is_a_linear_map_over_pixels_is_as_large_as_it_says():
    form = detect(vit(tokens=197) | {"patch_embed.proj.weight": (384, 768)})
    assert form.image_size == (224, 224)
    assert detect(vit(tokens=197) | {"patch_embed.proj.weight": (384, 192)}).image_size is None


@pytest.mark.parametrize(
    ("shapes", "size", "stride", "mean"),
    [
        (clip_vit(), (224, 224), 16, CLIP_MEAN),
        (clip_resnet(), (224, 224), 32, CLIP_MEAN),
        (swin(), (224, 224), None, IMAGENET),
        (swin(2), (256, 256), None, IMAGENET),
        (vit(tokens=197), (224, 224), 16, HALF),
        (resnet() | {"fc.weight": (1000, 2048)}, (224, 224), None, IMAGENET),
    ],
)
def test_a_pre_training_has_its_own_size_and_preparation_of_images(shapes, size, stride, mean):
    form = detect(shapes)
    assert (form.image_size, form.grid and form.grid.stride, form.images.mean) == (size, stride, mean)
    assert form.images.interpolation == ("bilinear" if "fc.weight" in shapes else "bicubic")


@pytest.mark.parametrize(("version", "network"), [(1, "swin"), (2, "swinv2")])
def test_a_swin_transformer_is_told_by_its_blocks(version, network):
    form = detect(swin(version))
    assert (form.network, form.width, form.depth, form.num_patches) == (network, 768, (2, 2, 6, 2), 0)


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        ({"heads.weight": (9, 384)}, ("before", 384, frozenset())),
        ({"heads.bottleneck.0.running_mean": (384,)}, ("after", 384, frozenset())),
        ({"heads.bnneck.running_mean": (384,)}, ("after", 384, frozenset())),
        ({"heads.bottleneck.0.weight": (64, 384, 1, 1)}, ("before", 64, {"reduced"})),
        (
            {"heads.bottleneck.0.weight": (64, 384, 1, 1), "heads.bottleneck.1.running_mean": (64,)},
            ("after", 64, {"reduced"}),
        ),
    ],
)
def test_fastreid_ranks_behind_its_neck_where_there_is_one(heads, expected):
    form = detect(BACKBONE | heads, "fast-reid")
    assert (form.neck_feat, form.feature_dim, form.parts) == expected


def test_ours_or_the_first_family_that_fits_is_taken_only_where_that_is_asked_for():
    assert detect(BACKBONE, guess=True).family.name == "ours"
    assert detect(resnet(), guess=True).family.name == "torchreid"


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

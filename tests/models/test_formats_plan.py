"""Which model a foreign file becomes: every listing by hand, every key of it in the model's place."""

import pytest
import torch
from peers import LISTINGS, PATH, listing, prefixed

from reid.models import JigsawSpec, ModelSpec, ReIDModel, SideSpec
from reid.models.formats import ImportOptions, detect, plan_model
from reid.models.formats.translate import translate
from reid.utils import InputError

PERSON, TALL, VEHICLE = (256, 128), (384, 128), (256, 256)
MSMT = SideSpec(tuple(range(15)), dataset="msmt17")
CLIP_MSMT = SideSpec(tuple(range(15)), coef=1.0, dataset="msmt17")
VERI = SideSpec(tuple(range(20)), tuple(range(8)), dataset="veri")
AFTER = {"neck_feat": "after"}
LISTED = {
    "clipreid_baseline_vit_msmt17": ModelSpec("clip_vit_base", PERSON, 1041),
    "clipreid_rn50_msmt17": ModelSpec("clip_resnet50", PERSON, 1041),
    "clipreid_vit_msmt17": ModelSpec("clip_vit_base", PERSON, 1041),
    "clipreid_vit_sie_olp_msmt17": ModelSpec(
        "clip_vit_base", PERSON, 1041, patch_stride=(12, 12), side=CLIP_MSMT
    ),
    "denoiserep_vit_base_ics_384_msmt17": ModelSpec("vit_base", TALL, 1041, conv_stem=True),
    "denoiserep_vit_small_msmt17": ModelSpec("vit_small", PERSON, 1041),
    "fastreid_market_AGW_R50": ModelSpec("resnet50_nl_fastreid", PERSON, 751, gem=True, **AFTER),
    "fastreid_market_bagtricks_R50": ModelSpec("resnet50_fastreid", PERSON, 751, **AFTER),
    "fastreid_market_bagtricks_vit": ModelSpec("vit_base", PERSON, 751, **AFTER),
    "fastreid_msmt_sbs_R50_ibn": ModelSpec("resnet50_ibn_nl_fastreid", PERSON, 1041, gem=True, **AFTER),
    "torchreid_osnet_ain_x1_0_msmt17": ModelSpec("osnet_ain_x1_0", PERSON, 1041, last_stride=2),
    "torchreid_osnet_x0_25_msmt17": ModelSpec("osnet_x0_25", PERSON, 1041, last_stride=2),
    "torchreid_osnet_x1_0_msmt17": ModelSpec("osnet_x1_0", PERSON, 1041, last_stride=2),
    "torchreid_resnet50_fc512_msmt17": ModelSpec("resnet50_fc512", PERSON, 1041),
    "torchreid_resnet50_msmt17": ModelSpec("resnet50", PERSON, 1041, last_stride=2),
    "transreid_deit_small_msmt17": ModelSpec("vit_small", PERSON, 1041),
    "transreid_resnet50_msmt17": ModelSpec("resnet50_transreid", PERSON, 1041),
    "transreid_veri_sie_cam_view": ModelSpec("vit_base", VEHICLE, 575, side=VERI, jigsaw=JigsawSpec()),
    "transreid_vit_base_jpm_sie_stride12_msmt17": ModelSpec(
        "vit_base", PERSON, 1041, patch_stride=(12, 12), side=MSMT, jigsaw=JigsawSpec()
    ),
    "transreid_vit_base_msmt17": ModelSpec("vit_base", PERSON, 1041),
    "transreid_vit_small_legacy_msmt17": ModelSpec("vit_small_legacy", PERSON, 1041),
    "transreidssl_resnet50_ibn_a": ModelSpec("resnet50_ibn", PERSON, 1041),
    "transreidssl_vit_base_ics_384_msmt17": ModelSpec("vit_base", TALL, 1041, conv_stem=True),
    "transreidssl_vit_small_ics_msmt17": ModelSpec("vit_small", PERSON, 1041, conv_stem=True),
    "transreidssl_vit_small_msmt17": ModelSpec("vit_small", PERSON, 1041),
}
needs_listings = pytest.mark.skipif(not LISTINGS.is_dir(), reason="the key listings of peers are not here")
# torchreid's networks have no neck; the exponent of AGW's pooling is not learned.
NECK = {f"neck.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
NOT_IN_THE_FILE = {"fastreid_market_AGW_R50": {"backbone.global_pool.p"}} | {
    name: NECK for name in LISTED if name.startswith("torchreid_")
}


@needs_listings
def test_every_listing_is_planned():
    assert {path.stem for path in LISTINGS.iterdir()} == set(LISTED)


@needs_listings
@pytest.mark.parametrize("name", LISTED)
def test_a_listing_becomes_its_model_and_every_key_has_its_place_and_shape(name):
    shapes = listing(name)
    form = detect(shapes)
    spec = plan_model(form)
    assert spec == LISTED[name]
    with torch.device("meta"):
        wanted = ReIDModel(spec).state_dict()
    # One number repeated: nothing of this size is stored.
    file = translate({key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}, form, PATH)
    absent = NOT_IN_THE_FILE.get(name, set())
    assert {key: value.shape for key, value in file.state.items()} == {
        key: value.shape for key, value in wanted.items() if key not in absent
    }
    assert file.unexpected == []
    olds = [old for keys in file.origin.values() for old in keys]
    assert sorted([*olds, *file.dropped]) == sorted(shapes)


def vit(width=384, tokens=129, depth=12, *, prefix="base.", classes=0, **more):
    """The keys of a vision transformer that a plan reads."""
    blocks = {f"blocks.{i}.attn.qkv.bias": (3 * width,) for i in range(depth)}
    own = {"cls_token": (1, 1, width), "pos_embed": (1, tokens, width), **blocks}
    shapes = prefixed(own | {"patch_embed.proj.weight": (width, 3, 16, 16)} | more, prefix)
    return shapes | ({"classifier.weight": (classes, width)} if classes else {})


def resnet(blocks=(3, 4, 6, 3), last="bn3", width=2048, prefix=""):
    keys = {f"layer{i}.{n}.conv1.weight": (64, 64, 1, 1) for i, c in enumerate(blocks, 1) for n in range(c)}
    last = {f"layer4.{blocks[3] - 1}.{last}.weight": (width,)}
    return prefixed({"conv1.weight": (64, 3, 7, 7), **keys, **last}, prefix)


IMAGENET = {"fc.weight": (1000, 2048)}
NL = prefixed({"NL_2.0.g.weight": (1, 512, 1, 1)}, "backbone.")


@pytest.mark.parametrize(
    ("shapes", "name", "last_stride"),
    [
        (resnet() | IMAGENET, "resnet50", 2),
        (resnet((3, 4, 23, 3)) | IMAGENET, "resnet101", 2),
        (resnet((3, 8, 36, 3)) | IMAGENET, "resnet152", 2),
        (resnet((2, 2, 2, 2), "bn2", 512) | IMAGENET, "resnet18", 2),
        (resnet((3, 4, 6, 3), "bn2", 512) | IMAGENET, "resnet34", 2),
        (resnet() | IMAGENET | {"layer1.0.bn1.IN.weight": (32,)}, "resnet50_ibn", 2),
        (resnet((3, 4, 23, 3), prefix="base."), "resnet101_transreid", 1),
        (resnet((2, 2, 2, 2), "bn2", 512, "base."), "resnet18_transreid", 1),
        (resnet(prefix="backbone.") | {"heads.bnneck.weight": (2048,)}, "resnet50", 1),
        (resnet(prefix="backbone.") | NL | {"heads.bnneck.weight": (2048,)}, "resnet50_nl", 1),
        (resnet(prefix="backbone.") | {"heads.classifier.weight": (9, 2048)}, "resnet50_fastreid", 1),
        # Without a classifier nothing tells the generation, but it is fast-reid's all the same.
        (resnet(prefix="backbone.") | {"heads.bottleneck.0.weight": (2048,)}, "resnet50_fastreid", 1),
        (resnet(prefix="backbone.") | NL | {"heads.bottleneck.0.weight": (2048,)}, "resnet50_nl_fastreid", 1),
    ],
)
def test_a_resnet_has_the_stem_and_the_last_stride_of_its_family(shapes, name, last_stride):
    spec = plan_model(detect(shapes))
    assert (spec.name, spec.last_stride) == (name, last_stride)


@pytest.mark.parametrize(
    ("tokens", "stride", "last_stride", "size"),
    [(129, None, 1, PERSON), (257, None, 1, VEHICLE), (50, None, 2, (224, 224))],
)
def test_clips_resnet_has_the_last_stride_that_gives_as_many_cells(tokens, stride, last_stride, size):
    own = resnet() | {"conv1.weight": (32, 3, 3, 3), "attnpool.positional_embedding": (tokens, 2048)}
    spec = plan_model(detect(prefixed(own, "visual.")))
    assert (spec.name, spec.patch_stride) == ("clip_resnet50", stride)
    assert (spec.last_stride, spec.image_size) == (last_stride, size)


@pytest.mark.parametrize(
    ("tokens", "size", "expected"),
    [
        (129, None, (PERSON, None)),
        (129, (384, 192), (PERSON, None)),  # a size only says what to resize to where the own one is known
        (211, TALL, (PERSON, (12, 12))),
        (163, PERSON, (PERSON, (14, 14))),
        (1 + 20 * 10, (320, 160), ((320, 160), None)),
    ],
)
def test_the_size_that_is_given_tells_how_an_unknown_number_of_patches_lies(tokens, size, expected):
    spec = plan_model(detect(vit(tokens=tokens)), ImportOptions(image_size=size))
    assert (spec.image_size, spec.patch_stride) == expected


def side_of(rows, classes, **options):
    shapes = vit(classes=classes) | {"base.sie_embed": (rows, 1, 384)}
    return plan_model(detect(shapes), ImportOptions(**options)).side


@pytest.mark.parametrize(
    ("rows", "classes", "options", "expected"),
    [
        (6, 751, {}, (6, 0, 3.0, "market1501")),
        (8, 575, {}, (0, 8, 3.0, "veri")),
        (7, 300, {}, (7, 0, 3.0, "")),
        (12, 300, {"num_views": 4}, (3, 4, 3.0, "")),
        (4, 300, {"num_views": 4}, (0, 4, 3.0, "")),
        (6, 751, {"sie_coef": 0.0}, (6, 0, 0.0, "market1501")),
    ],
)
def test_side_information_is_of_cameras_unless_more_is_known(rows, classes, options, expected):
    side = side_of(rows, classes, **options)
    assert (len(side.cameras), len(side.views), side.coef, side.dataset) == expected


@pytest.mark.parametrize("views", [5, -2])
def test_rows_that_are_no_multiple_of_the_views_are_refused(views):
    expected = f"12 rows of side information must be a multiple of the views, got {views}"
    with pytest.raises(InputError, match=expected):
        side_of(12, 300, num_views=views)


@pytest.mark.parametrize(("classes", "given", "shift"), [(751, None, 5), (13164, None, 8), (751, 3, 3)])
def test_jigsaw_branches_shift_as_their_data_set_does(classes, given, shift):
    shapes = vit(classes=classes) | {"b1.0.norm1.weight": (384,)}
    assert plan_model(detect(shapes), ImportOptions(shift=given)).jigsaw == JigsawSpec(shift=shift)


def test_a_reduced_feature_and_an_unlearned_pooling_are_planned():
    spec = plan_model(detect(vit() | {"fcneck.weight": (256, 384)}), ImportOptions(gem=True))
    assert (spec.feat_dim, spec.gem) == (256, True)


def refusal(shapes, **options):
    with pytest.raises(InputError) as caught:
        plan_model(detect(shapes), ImportOptions(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


CANNOT = "cannot be built here"
REFUSED = {
    "a shift of nothing": (vit() | {"b1.0.norm1.weight": (384,)}, {"shift": 0}, "shift must be in 1..64"),
    "a shift without branches": (vit(), {"shift": 5}, "has no jigsaw branches; leave out --shift"),
    "views without a table": (vit(), {"num_views": 2}, "leave out --views and --sie-coef"),
    "a factor without a table": (vit(), {"sie_coef": 1.0}, "leave out --views and --sie-coef"),
    "an unknown size": (vit(tokens=101), {}, "100 position embeddings are of no known image size"),
    "another size": (
        vit(tokens=102),
        {"image_size": PERSON},
        "101 position embeddings do not cover 256x128 (--size) in patches of 16 pixels",
    ),
    "another width": (vit(width=192), {}, f"width 192; images of 256x128 .*: this network {CANNOT}"),
    "squeeze": (resnet() | IMAGENET | {"layer1.0.se.fc.0.weight": (4, 4)}, {}, "squeeze-and-excitation"),
    "IBN-b": (resnet() | IMAGENET | {"bn1.IN.weight": (64,)}, {}, "instance normalisation in the stem"),
    "another depth": (resnet((3, 4, 30, 3)) | IMAGENET, {}, f"3-4-30-3 .*{CANNOT}"),
    "a wide stage": (resnet(width=1024) | IMAGENET, {}, CANNOT),
    "ours": (vit(prefix="backbone.") | {"neck.weight": (384,)}, {}, "start from it with MODEL.PRETRAIN_PATH"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_planned_says_why_in_one_line(case):
    shapes, options, expected = REFUSED[case]
    message = refusal(shapes, **options)
    first, *rest = expected.split(".*")
    assert first in message
    assert all(part in message for part in rest)

"""An imported file gives the features that its peer's own network gives, whatever the family."""

from functools import partial

import pytest
import torch
from parity import PERSON, TALL, VEHICLE, Case, check, resized, torchvision_resnet
from peer_clip import clip_rn50_feature, clip_rn50_state, clip_vit_feature, clip_vit_state
from peer_parts import Draw, batch_norm, power_mean
from peer_resnet import (
    fastreid_resnet_feature,
    fastreid_resnet_state,
    resnet_map,
    torchreid_resnet_feature,
    torchreid_resnet_state,
    transreid_resnet_feature,
    transreid_resnet_state,
)
from peer_vit import (
    fastreid_vit_feature,
    fastreid_vit_state,
    side_rows,
    trunk_state,
    vit_feature,
    vit_state,
)
from peers import denoised, prefixed
from torch import nn
from torch.nn import functional as F

from reid.models.backbones.osnet import OSNet

CAM, VIEW = torch.tensor([3, 0]), torch.tensor([1, 7])
PLAIN = {"depth": 12, "tokens": 129, "classes": 1041}
SMALL, BASE = {"width": 384, **PLAIN}, {"width": 768, **PLAIN}
TRUNK = {"width": 384, "depth": 12, "mlp_ratio": 4, "qkv_bias": True}
LEGACY = {"depth": 8, "mlp_ratio": 3, "qkv_bias": False}
R101 = (3, 4, 23, 3)


QUICK = {
    "transreid": Case(partial(vit_state, **SMALL), vit_feature, "vit_small", neck_feat="after"),
    "denoiserep": Case(lambda: denoised(vit_state(**SMALL)), vit_feature, "vit_small"),
    "a teacher of DINO": Case(
        lambda: (
            prefixed(trunk_state(Draw(0), "", **TRUNK, tokens=129), "backbone.")
            | {"head.mlp.0.weight": torch.ones(2, 2), "head.last_layer.weight_v": torch.ones(2, 2)}
        ),
        partial(vit_feature, prefix="backbone."),
        "vit_small",
    ),
}
TRANSREID = {
    "base": Case(partial(vit_state, **BASE), vit_feature, "vit_base", neck_feat="after"),
    "stride 12, cameras, jigsaw": Case(
        partial(vit_state, **BASE | {"tokens": 211}, sie_rows=15, jigsaw=True),
        partial(vit_feature, stride=12, rows=CAM),
        "vit_base",
        sides={"camids": CAM},
        neck_feat="after",
    ),
    "cameras and views of vehicles, jigsaw": Case(
        partial(vit_state, **SMALL | {"tokens": 257, "classes": 575}, sie_rows=160, jigsaw=True),
        partial(vit_feature, rows=side_rows(CAM, VIEW, 8)),
        "vit_small",
        VEHICLE,
        sides={"camids": CAM, "viewids": VIEW},
    ),
    "a shift of one's own": Case(
        partial(vit_state, **SMALL | {"tokens": 257, "classes": 13164}, jigsaw=True),
        partial(vit_feature, shift=8),
        "vit_small",
        VEHICLE,
    ),
    "views of vehicles": Case(
        partial(vit_state, **SMALL | {"tokens": 257, "classes": 576}, sie_rows=8),
        partial(vit_feature, rows=VIEW, coe=1.5),
        "vit_small",
        VEHICLE,
        options={"sie_coef": 1.5},
        sides={"viewids": VIEW},
    ),
    "legacy": Case(
        partial(vit_state, **BASE | LEGACY),
        partial(vit_feature, heads=8, scale=768**-0.5),
        "vit_small_legacy",
        neck_feat="after",
    ),
    "ics": Case(partial(vit_state, **SMALL, ics=True), vit_feature, "vit_small", neck_feat="after"),
    "ics of 384, pooled patches, reduced": Case(
        partial(vit_state, **SMALL | {"tokens": 193}, ics=True, fcneck=256),
        partial(vit_feature, gem=True),
        "vit_small",
        TALL,
        options={"gem": True},
        neck_feat="after",
    ),
    "denoised ics of 384": Case(
        lambda: denoised(vit_state(**BASE | {"tokens": 193}, ics=True)), vit_feature, "vit_base", TALL
    ),
    "resnet": Case(
        partial(transreid_resnet_state, classes=9),
        transreid_resnet_feature,
        "resnet50_transreid",
        neck_feat="after",
    ),
    "ibn": Case(
        partial(transreid_resnet_state, classes=9, ssl=True),
        partial(transreid_resnet_feature, stem="torchvision"),
        "resnet50_ibn",
        neck_feat="after",
    ),
}
FASTREID = {
    "vit": Case(partial(fastreid_vit_state, **BASE), fastreid_vit_feature, "vit_base"),
    **{
        f"generation {n}": Case(
            partial(fastreid_resnet_state, classes=9, generation=n),
            fastreid_resnet_feature,
            "resnet50" if n == 1 else "resnet50_fastreid",
            neck_feat="before",
        )
        for n in (1, 2, 3)
    },
    "agw": Case(
        partial(fastreid_resnet_state, classes=9, non_local=True),
        partial(fastreid_resnet_feature, power=3),
        "resnet50_nl_fastreid",
    ),
    "agw of 2020": Case(
        partial(fastreid_resnet_state, classes=9, generation=1, gem=True, non_local=True),
        fastreid_resnet_feature,
        "resnet50_nl",
    ),
    "sbs, reduced": Case(
        partial(fastreid_resnet_state, classes=9, gem=True, non_local=True, ibn=True, reduction=512),
        fastreid_resnet_feature,
        "resnet50_ibn_nl_fastreid",
        neck_feat="before",
    ),
    "101 blocks": Case(
        partial(fastreid_resnet_state, classes=9, gem=True, ibn=True, blocks=R101),
        fastreid_resnet_feature,
        "resnet101_ibn_fastreid",
    ),
}
CLIP = {
    "vit": Case(
        partial(clip_vit_state, classes=1041, tokens=129),
        clip_vit_feature,
        "clip_vit_base",
        neck_feat="after",
    ),
    "cameras, stride 12": Case(
        partial(clip_vit_state, classes=1041, tokens=211, cv_rows=15, text=False),
        partial(clip_vit_feature, stride=12, rows=CAM),
        "clip_vit_base",
        sides={"camids": CAM},
    ),
    "resnet": Case(
        partial(clip_rn50_state, classes=1041, tokens=129, cv_rows=15, text=False),
        clip_rn50_feature,
        "clip_resnet50",
        neck_feat="after",
    ),
}
TORCHREID = {
    "resnet": Case(partial(torchreid_resnet_state, classes=9), torchreid_resnet_feature, "resnet50"),
    "fc512": Case(
        partial(torchreid_resnet_state, classes=9, fc=512), torchreid_resnet_feature, "resnet50_fc512"
    ),
}


@pytest.mark.parametrize("name", QUICK)
def test_a_small_transformer_gives_its_peers_feature(name):
    _, header, report = check(QUICK[name])
    assert header.state == ("fused" if name == "denoiserep" else "none")
    leftovers = (".dm.", ".time_mlp.", ".teacher.", ".betas", ".posterior_variance", "base.fc.", "head.")
    assert all(any(part in key for part in leftovers) for key in report.dropped)


FULL = {
    f"{family}: {name}": case
    for family, cases in (
        ("transreid", TRANSREID),
        ("fast-reid", FASTREID),
        ("clip-reid", CLIP),
        ("torchreid", TORCHREID),
    )
    for name, case in cases.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_a_file_gives_its_peers_feature(name):
    check(FULL[name])


@pytest.mark.slow
def test_fastreid_without_a_neck_ranks_what_it_pools():
    state = fastreid_resnet_state(classes=9)
    bare = {key: value for key, value in state.items() if not key.startswith("heads.bottleneck.")}
    feature = partial(fastreid_resnet_feature, neck_feat="before")
    check(Case(lambda: bare, feature, "resnet50_fastreid"))
    reduced = fastreid_resnet_state(classes=9, reduction=64)
    bare = {key: value for key, value in reduced.items() if not key.startswith("heads.bottleneck.1.")}

    def pooled(state, images):
        x = resnet_map(state, images, prefix="backbone.", stem="fastreid", last_stride=1).mean((2, 3))
        return x @ state["heads.bottleneck.0.weight"].flatten(1).T

    check(Case(lambda: bare, pooled, "resnet50_fastreid"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["no classifiers", "arcface", "old heads", "am-softmax"])
def test_heads_that_are_not_all_there_do_not_change_the_feature(kind):
    state = vit_state(**SMALL | {"tokens": 211}, sie_rows=15, jigsaw=kind != "am-softmax")
    parts = {key for key in state if key.startswith("classifier_")}
    lost = {
        "no classifiers": parts | {"classifier.weight"},
        "arcface": parts,
        "old heads": {key for key in state if key.endswith("num_batches_tracked")},
        "am-softmax": {"classifier.weight"},
    }[kind]
    file = {key: value for key, value in state.items() if key not in lost}
    if kind == "am-softmax":
        file["classifier.W"] = state["classifier.weight"].T
    feature = partial(vit_feature, stride=12, rows=CAM)
    _, header, report = check(Case(lambda: file, feature, "vit_small", sides={"camids": CAM}))
    assert len(report.missing) == len(lost)
    assert header.model.num_classes == (0 if kind == "no classifiers" else 1041)
    assert header.model.side.cameras == tuple(range(15))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tokens", "own", "stride", "to", "grid"),
    [
        (211, (21, 10), 12, TALL, (31, 10)),
        (163, (18, 9), 14, PERSON, (18, 9)),
        (129, (16, 8), 16, (128, 256), (8, 16)),
        (257, (16, 16), 16, PERSON, (16, 8)),
    ],
)
def test_another_size_resizes_the_positions_and_keeps_the_stride(tokens, own, stride, to, grid):
    def feature(state, images):
        positions = resized(state["base.pos_embed"], own, grid)
        return vit_feature(state | {"base.pos_embed": positions}, images, stride=stride)

    state = partial(vit_state, **SMALL | {"tokens": tokens})
    _, _, report = check(Case(state, feature, "vit_small", to, options={"image_size": to}))
    assert report.interpolated == ([] if grid == own else ["base.pos_embed"])


def test_a_small_resnet_of_fastreid_gives_its_feature_behind_the_neck():
    peer = torchvision_resnet("resnet18")
    body = {key: value for key, value in peer.state_dict().items() if not key.startswith("fc.")}
    heads = Draw(1).batch_norm("heads.bottleneck.0.", 512) | {"heads.weight": torch.ones(9, 512)}
    heads["heads.pool_layer.p"] = torch.tensor([2.5])

    def feature(state, images):
        x = F.max_pool2d(F.relu(peer.bn1(peer.conv1(images))), 3, 2, ceil_mode=True)
        peer.layer4[0].conv1.stride = peer.layer4[0].downsample[0].stride = (1, 1)
        x = peer.layer4(peer.layer3(peer.layer2(peer.layer1(x))))
        return batch_norm(state, "heads.bottleneck.0.", power_mean(x, 2.5, (2, 3)))

    state = prefixed(body, "backbone.") | heads
    _, header, _ = check(Case(lambda: state, feature, "resnet18_fastreid"))
    assert header.preprocessing.mean == (0.485, 0.456, 0.406)
    assert header.preprocessing.interpolation == "bicubic"


@pytest.mark.parametrize(
    "name",
    ["osnet_x0_25", *(pytest.param(f"osnet_{n}", marks=pytest.mark.slow) for n in ("ain_x0_25", "ibn_x1_0"))],
)
def test_an_osnet_gives_the_output_of_its_linear_layer(name):
    torch.manual_seed(0)
    peer = OSNet(name)
    for part in peer.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.bias.data.normal_(0, 0.1)
    classifier = {"classifier.weight": torch.ones(5, 512), "classifier.bias": torch.ones(5)}
    file = peer.eval().state_dict() | classifier
    _, _, report = check(Case(lambda: file, lambda _, images: peer(images), name))
    assert report.dropped == ["classifier.bias"]
    assert all(key.startswith("neck.") for key in report.missing)

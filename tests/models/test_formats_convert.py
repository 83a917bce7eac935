"""From a peer's file to a model here: the same features as the peer's network, every key accounted for."""

import copy
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from peers import LISTINGS, denoiserep, fastreid, listing, prefixed, shapes_of, transreid
from torch import nn
from torch.nn import functional as F

from reid.models import ReIDModel, load_checkpoint, save_checkpoint
from reid.models.formats import ImportReport, convert, detect
from reid.models.formats.convert import backbone_name
from reid.models.osnet import OSNet
from reid.utils import InputError

PATH = Path("peer.pth")
BUILT = {
    "denoiserep_vit_small_msmt17": "vit_small",
    "fastreid_market_bagtricks_R50": "resnet50_fastreid",
    "fastreid_market_bagtricks_vit": "vit_base",
    "torchreid_osnet_ain_x1_0_msmt17": "osnet_ain_x1_0",
    "torchreid_osnet_x0_25_msmt17": "osnet_x0_25",
    "torchreid_osnet_x1_0_msmt17": "osnet_x1_0",
    "torchreid_resnet50_msmt17": "resnet50",
    "transreid_deit_small_msmt17": "vit_small",
    "transreid_vit_base_msmt17": "vit_base",
    "transreidssl_vit_small_msmt17": "vit_small",
}
NOT_BUILT = {
    "clipreid_baseline_vit_msmt17": "CLIP-ReID: clip_vit of 12 blocks and width 768",
    "denoiserep_vit_base_ics_384_msmt17": "a stem of convolutions",
    "fastreid_market_AGW_R50": "non-local blocks",
    "fastreid_msmt_sbs_R50_ibn": "learned pooling",
    "torchreid_resnet50_fc512_msmt17": "a linear layer behind the pooling",
    "transreid_resnet50_msmt17": "a ResNet without ReLU in its stem",
    "transreid_veri_sie_cam_view": "jigsaw branches",
    "transreid_vit_small_legacy_msmt17": "attention without bias",
    "transreidssl_resnet50_ibn_a": "instance normalisation",
}


def images(height, width):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def imported(state, size=None, family=None):
    return convert(state, detect(shapes_of(state), family), PATH, size)


def randomise_norms(module):
    """Statistics and shifts that a wrong or forgotten normalisation would show."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
            part.bias.data.normal_(0, 0.1)
    return module.eval()


@pytest.fixture(scope="module")
def vit():
    """timm's ViT-S at 256x128 with random weights."""
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch16_224", img_size=(256, 128), num_classes=0).eval()
    nn.init.normal_(model.pos_embed)
    return model


@pytest.fixture(scope="module")
def resnet():
    """torchvision's ResNet-50 with random weights, without a head."""
    torch.manual_seed(0)
    model = torchvision.models.resnet50(num_classes=3)
    return randomise_norms(model)


@torch.no_grad()
def assert_same_features(model, expected, size):
    assert isinstance(model, ReIDModel)
    assert not model.training
    torch.testing.assert_close(model.embed(images(*size)), expected, atol=1e-5, rtol=1e-5)


WRITERS = {
    "transreid": lambda s: transreid(s, 5),
    "denoiserep": lambda s: denoiserep(s, 5),
    "ssl-pretraining": lambda s: prefixed(s, "backbone.") | {"head.mlp.0.weight": torch.ones(2, 2)},
}


@pytest.mark.parametrize("family", WRITERS)
@torch.no_grad()
def test_a_vision_transformer_gives_timms_features(vit, family):
    state = WRITERS[family](vit.state_dict())
    model, header, report = imported(state)
    assert_same_features(model, vit(images(256, 128)), (256, 128))
    assert header.state == ("fused" if family == "denoiserep" else "none")
    assert (header.preprocessing.size, header.preprocessing.mean) == ((256, 128), (0.5, 0.5, 0.5))
    assert (header.model.name, header.model.neck_feat) == ("vit_small", "before")
    assert (report.interpolated, report.unexpected) == ([], [])
    leftovers = {key for key in state if ".dm." in key or ".time_mlp." in key or ".teacher." in key}
    leftovers |= {key for key in state if key.endswith((".betas", ".posterior_variance")) or "fc." in key[:8]}
    assert set(report.dropped) == leftovers | {key for key in state if key.startswith("head.")}
    if family == "ssl-pretraining":
        assert (header.model.num_classes, len(report.missing)) == (0, 6)
    else:
        assert (header.model.num_classes, report.missing) == (5, [])
        assert torch.equal(model.neck.running_mean, state["bottleneck.running_mean"])
        assert len(report.matched) == len(vit.state_dict()) + 6


@pytest.mark.parametrize("distilled", [False, True])
@torch.no_grad()
def test_imagenet_positions_are_resized_by_the_field_s_rule(vit, distilled):
    state = vit.state_dict()
    square = torch.randn(1, 1 + 14 * 14, 384, generator=torch.Generator().manual_seed(1))
    grid = square[:, 1:].reshape(1, 14, 14, 384).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (16, 8), mode="bilinear").permute(0, 2, 3, 1).reshape(1, 128, 384)
    source = square
    if distilled:
        state["dist_token"] = torch.ones(1, 1, 384)
        source = torch.cat([square[:, :1], torch.full((1, 1, 384), 9.0), square[:, 1:]], 1)
    file = state | {"pos_embed": source, "head.weight": torch.ones(1000, 384), "head.bias": torch.ones(1000)}
    model, header, report = imported(file, (256, 128))
    peer = timm.create_model("vit_small_patch16_224", img_size=(256, 128), num_classes=0).eval()
    peer.load_state_dict(vit.state_dict() | {"pos_embed": torch.cat([square[:, :1], grid], 1)})
    assert_same_features(model, peer(images(256, 128)), (256, 128))
    assert report.interpolated == ["backbone.pos_embed"]
    assert {"head.weight", "head.bias"} <= set(report.dropped)
    assert header.model.num_classes == 0
    assert detect(shapes_of(file)).image_size == (224, 224)


def without_stride(stage):
    stage = copy.deepcopy(stage)
    stage[0].conv2.stride = stage[0].downsample[0].stride = (1, 1)
    return stage


def test_positions_of_an_image_lying_down_are_resized_although_there_are_as_many(vit):
    state = vit.state_dict() | {"head.weight": torch.ones(1000, 384)}
    report = imported(state, (128, 256), "imagenet").report
    assert report.interpolated == ["backbone.pos_embed"]


@pytest.mark.parametrize("generation", [1, 2, 3])
@torch.no_grad()
def test_a_resnet_of_fastreid_gives_its_feature_behind_the_neck(resnet, generation):
    state = fastreid(resnet.state_dict(), 5, generation)
    model, header, report = imported(state)
    x = F.relu(resnet.bn1(resnet.conv1(images(64, 32))))
    # The pooling changed in August 2020, with the end of the first generation of heads.
    x = F.max_pool2d(x, 3, 2, 1) if generation == 1 else F.max_pool2d(x, 3, 2, ceil_mode=True)
    x = resnet.layer3(resnet.layer2(resnet.layer1(x)))
    x = without_stride(resnet.layer4)(x).mean((2, 3))
    neck = {k.rpartition(".")[2]: v for k, v in state.items() if k.startswith(("heads.bn", "heads.bott"))}
    expected = F.batch_norm(x, neck["running_mean"], neck["running_var"], neck["weight"], neck["bias"])
    assert_same_features(model, expected, (64, 32))
    assert (report.missing, report.unexpected) == ([], [])
    assert report.dropped == ([] if generation == 3 else ["pixel_mean"])
    assert (header.model.num_classes, header.model.neck_feat) == (5, "after")
    assert header.preprocessing.mean == (0.485, 0.456, 0.406)
    assert header.preprocessing.interpolation == "bicubic"


@pytest.mark.parametrize("family", ["torchreid", "imagenet"])
@torch.no_grad()
def test_a_plain_resnet_gives_torchvisions_features(resnet, family):
    state = {k: v for k, v in resnet.state_dict().items() if not k.startswith("fc.")}
    if family == "torchreid":
        state |= {"classifier.weight": torch.ones(5, 2048), "classifier.bias": torch.ones(5)}
    else:  # a file from before BatchNorm counted its batches
        state = {k: v for k, v in resnet.state_dict().items() if not k.endswith("num_batches_tracked")}
    model, header, report = imported(state)
    body = nn.Sequential(*list(resnet.children())[:-1], nn.Flatten())
    assert_same_features(model, body(images(64, 32)), (64, 32))
    assert report.dropped == (["classifier.bias"] if family == "torchreid" else ["fc.weight", "fc.bias"])
    assert header.model.num_classes == (5 if family == "torchreid" else 0)
    assert header.preprocessing.size == ((256, 128) if family == "torchreid" else (224, 224))


@pytest.mark.parametrize("name", ["osnet_x0_25", "osnet_ain_x0_25", "osnet_ibn_x1_0"])
@torch.no_grad()
def test_an_osnet_gives_the_output_of_its_linear_layer(name):
    torch.manual_seed(0)
    peer = randomise_norms(OSNet(name))
    classifier = {"classifier.weight": torch.ones(5, 512), "classifier.bias": torch.ones(5)}
    model, header, report = imported(peer.state_dict() | classifier)
    assert header.model.name == name
    assert_same_features(model, peer(images(64, 32)), (64, 32))
    assert report.dropped == ["classifier.bias"]
    assert [key for key in report.missing if not key.startswith("neck.")] == []


@pytest.mark.skipif(not LISTINGS.is_dir(), reason="the key listings of peers' checkpoints are not here")
@pytest.mark.parametrize("name", [*BUILT, *NOT_BUILT])
def test_a_listing_is_built_or_says_what_is_in_the_way(name):
    shapes = listing(name)
    form = detect(shapes)
    if name in BUILT:
        assert backbone_name(form, shapes) == BUILT[name]
    else:
        with pytest.raises(InputError, match=f"{NOT_BUILT[name]}.* cannot be built here yet"):
            backbone_name(form, shapes)


def refusal(state, size=None):
    with pytest.raises(InputError) as caught:
        imported(state, size)
    message = str(caught.value)
    assert "\n" not in message
    return message


def small_file():
    """A file of torchreid's, as small as they come."""
    torch.manual_seed(0)
    classifier = {"classifier.weight": torch.ones(5, 512), "classifier.bias": torch.ones(5)}
    return OSNet("osnet_x0_25").state_dict() | classifier


def test_what_is_missing_or_foreign_in_the_backbone_is_named():
    state = small_file()
    lacking = {key: value for key, value in state.items() if not key.startswith("conv4.1.conv3.bn.")}
    expected = "peer.pth lacks 4 keys of the backbone osnet_x0_25, such as backbone.conv4.1.conv3.bn.weight"
    assert refusal(lacking) == expected
    foreign = state | {"extra.weight": torch.ones(1)}
    expected = "peer.pth has 1 keys that the backbone osnet_x0_25 has no place for, such as extra.weight"
    assert refusal(foreign) == expected
    short = state | {"conv1.bn.bias": torch.zeros(3)}
    assert "backbone.conv1.bn.bias must have shape (16,), got (3,)" in refusal(short)


def test_keys_that_nobody_knows_beside_the_backbone_are_reported(vit):
    report = imported(transreid(vit.state_dict(), 5) | {"center.weight": torch.ones(1)}).report
    assert report.unexpected == ["center.weight"]


def test_overlapping_patches_and_unknown_sizes_are_refused(vit):
    state = transreid(vit.state_dict(), 5)
    overlapping = state | {"base.pos_embed": torch.ones(1, 211, 384)}
    assert "images of 256x128 in patches of stride 12" in refusal(overlapping)
    unknown = state | {"base.pos_embed": torch.ones(1, 101, 384)}
    expected = "peer.pth has 100 position embeddings, of no known image size; give it with --size"
    assert refusal(unknown) == expected
    assert refusal(unknown, (256, 128)) == "peer.pth has 100 position embeddings, of no known grid"


def test_our_own_state_dict_is_sent_to_where_it_belongs():
    state = imported(small_file()).model.state_dict()
    assert refusal(state).endswith("start from it with MODEL.PRETRAIN_PATH")


def test_the_report_writes_names_that_differ_in_numbers_once():
    report = ImportReport(["a", "b"], dropped=["fc.weight", "blocks.0.dm.0.bias", "blocks.1.dm.0.bias"])
    assert report.describe().splitlines() == [
        "matched: 2",
        "interpolated: 0",
        "dropped: 3: fc.weight, blocks.*.dm.*.bias (2)",
        "missing: 0",
        "unexpected: 0",
    ]


def test_an_import_is_a_checkpoint(tmp_path):
    model, header, _ = imported(small_file())
    save_checkpoint(tmp_path / "ours.pth", model, header)
    again, read = load_checkpoint(tmp_path / "ours.pth")
    assert read == header
    assert_same_features(again, model.embed(images(64, 32)), (64, 32))

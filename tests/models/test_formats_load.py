"""Starting from a file in every wrapping, and importing one as the network that it is."""

import logging

import pytest
import timm
import torch
from peers import PATH, assert_every_key_is_accounted_for, imported, prefixed, shapes_of
from torch.nn import functional as F

from reid.models import ModelSpec, ReIDModel, load_any, load_checkpoint, load_pretrained, save_checkpoint
from reid.models.backbones.osnet import OSNet
from reid.models.formats import convert, detect, detect_in, import_content
from reid.utils import InputError

MICRO = {"patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4}
HEADS = {"neck.weight", "neck.bias", "neck.running_mean", "neck.running_var", "neck.num_batches_tracked"}
HEADS |= {"classifier.weight"}


def make(name="vit_micro", classes=5):
    torch.manual_seed(1)
    return ReIDModel(ModelSpec(name, (64, 32), classes)).eval()


def from_timm(name="vit_micro", size=(64, 32), **options):
    torch.manual_seed(2)
    if name == "vit_micro":
        return timm.create_model("vit_tiny_patch16_224", img_size=size, **MICRO, **options).state_dict()
    return timm.create_model("resnet10t", **options).state_dict()


def backbone_only(state):
    return {key: value for key, value in state.items() if not key.startswith(("head.", "fc."))}


def save(folder, content):
    path = folder / "weights.pth"
    torch.save(content, path)
    return path


def assert_backbone_is(model, state):
    own = model.backbone.state_dict()
    assert set(own) == set(backbone_only(state))
    for key, value in own.items():
        assert torch.equal(value, state[key]), key


def refusal(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRAPS = {
    "plain": lambda s: s,
    "module.": lambda s: prefixed(s, "module."),
    "model": lambda s: {"model": s, "epoch": 3, "optimizer": {"state": {}}},
    "state_dict": lambda s: {"state_dict": prefixed(s, "module."), "arch": "vit"},
    "teacher": lambda s: {
        "student": prefixed(s, "module.backbone."),
        "teacher": prefixed(backbone_only(s), "backbone.")
        | {"head.mlp.0.weight": torch.ones(2, 2), "head.last_layer.weight_g": torch.ones(2)},
    },
    "nested": lambda s: {"state_dict": {"model": prefixed(backbone_only(s), "module.backbone.")}},
}


@pytest.mark.parametrize(("name", "wrap"), [*(("vit_micro", wrap) for wrap in WRAPS), ("resnet10", "plain")])
def test_a_pre_training_is_taken_over_bitwise_in_every_wrapping(name, wrap, tmp_path):
    model, state = make(name), from_timm(name)
    before = {key: model.state_dict()[key].clone() for key in HEADS}
    report = load_pretrained(model, save(tmp_path, WRAPS[wrap](state)))
    assert_backbone_is(model, state)
    assert {key.removeprefix("backbone.") for key in report.matched} == set(backbone_only(state))
    assert (report.interpolated, report.unexpected, set(report.missing)) == ([], [], HEADS)
    assert len(report.dropped) == (0 if wrap == "nested" else 2)
    for key, value in before.items():
        assert torch.equal(model.state_dict()[key], value), key


def transreid(classes):
    """A TransReID checkpoint: base, bottleneck, classifier, and the ImageNet head inside base."""
    state = prefixed(backbone_only(from_timm()), "base.")
    state |= {"base.fc.weight": torch.ones(1000, 128), "base.fc.bias": torch.ones(1000)}
    neck = {"weight": 2.0, "bias": 0.0, "running_mean": 3.0, "running_var": 4.0}
    state |= {f"bottleneck.{key}": torch.full((128,), value) for key, value in neck.items()}
    state["bottleneck.num_batches_tracked"] = torch.tensor(6)
    return state | {"classifier.weight": torch.full((classes, 128), 5.0)}


def test_transreids_format_fills_backbone_neck_and_classifier(tmp_path):
    model = make()
    report = load_pretrained(model, save(tmp_path, transreid(5)))
    assert_backbone_is(model, from_timm())
    state = model.state_dict()
    names = ("weight", "bias", "running_mean", "running_var")
    assert [state[f"neck.{key}"].unique().item() for key in names] == [2, 0, 3, 4]
    assert state["classifier.weight"].unique().item() == 5
    assert state["neck.num_batches_tracked"] == 6
    assert (report.dropped, report.missing) == (["base.fc.weight", "base.fc.bias"], [])
    assert_every_key_is_accounted_for(report, transreid(5))


def test_our_own_state_dict_is_taken_over_whole(tmp_path):
    source, model = make(), make()
    torch.nn.init.normal_(source.backbone.cls_token)
    report = load_pretrained(model, save(tmp_path, source.state_dict()))
    assert torch.equal(model.backbone.cls_token, source.backbone.cls_token)
    assert (report.matched, report.dropped, report.missing) == (list(model.state_dict()), [], [])


@pytest.mark.parametrize(("size", "ratio"), [((128, 64), 2), ((64, 64), 1)])
def test_a_position_embedding_of_another_size_is_resized_and_the_rest_is_not(size, ratio, tmp_path):
    state, model = from_timm(size=size), make()
    report = load_pretrained(model, save(tmp_path, state), ratio)
    assert report.interpolated == ["pos_embed"]
    assert torch.equal(model.backbone.pos_embed[:, 0], state["pos_embed"][:, 0])
    old = state["pos_embed"][:, 1:].reshape(1, size[0] // 8, size[1] // 8, 128).permute(0, 3, 1, 2)
    new = F.interpolate(old, size=(8, 4), mode="bilinear").flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.backbone.pos_embed[:, 1:], new)
    assert torch.equal(model.backbone.cls_token, state["cls_token"])


def test_the_wrong_ratio_of_a_pre_training_is_refused_with_the_key_to_set(tmp_path):
    path = save(tmp_path, from_timm(size=(128, 64)))
    message = refusal(load_pretrained, make(), path, 1)
    assert message.startswith(f"{path}: 128 position embeddings")
    assert "set MODEL.PRETRAIN_HW_RATIO" in message


def test_the_log_names_what_was_not_simply_taken_over(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    with caplog.at_level("INFO", logger="reid"):
        path = save(tmp_path, from_timm(size=(128, 64)))
        load_pretrained(make(), path, 2)
    expected = (
        "matched: 53; interpolated: 1 (brought to another grid): pos_embed; dropped: 2 (known, and of no use"
        " here): head.weight head.bias; missing: 6 (not in the file, left as they start): neck.weight"
    )
    assert f"{path}: {expected}" in caplog.text


def test_a_file_without_a_state_dict_is_refused_with_what_it_holds(tmp_path):
    path = save(tmp_path, [torch.ones(2)])
    assert refusal(load_pretrained, make(), path) == f"{path} must hold a state dict, got list"


@pytest.fixture(scope="module")
def small_file():
    """A file of torchreid's, as small as they come."""
    torch.manual_seed(0)
    classifier = {"classifier.weight": torch.ones(5, 512), "classifier.bias": torch.ones(5)}
    return OSNet("osnet_x0_25").state_dict() | classifier


def test_an_import_is_a_checkpoint_and_any_loader_reads_both(small_file, tmp_path):
    model, header, report = imported(small_file, image_size=(64, 32))
    assert_every_key_is_accounted_for(report, small_file)
    assert (model.training, header.state, header.training) == (False, "none", None)
    assert (header.model.image_size, header.preprocessing.size) == ((64, 32), (64, 32))
    save_checkpoint(tmp_path / "ours.pth", model, header)
    again, read = load_checkpoint(tmp_path / "ours.pth")
    assert read == header
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.embed(images), model.embed(images))
    direct, found = load_any(save(tmp_path, {"state_dict": small_file}))
    assert (found.model.name, found.preprocessing.size) == ("osnet_x0_25", (256, 128))
    assert torch.equal(direct.embed(images), model.embed(images))


def test_an_import_is_logged_in_one_line(small_file, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    with caplog.at_level("INFO", logger="reid"):
        import_content(small_file, PATH)
    (record,) = [r for r in caplog.records if r.name.startswith("reid.models.formats")]
    assert record.getMessage().startswith("peer.pth: osnet_x0_25; matched: 566; dropped: 1 (known, and of")
    assert "\n" not in record.getMessage()


IMPORT_FAULTS = {
    "missing": (
        lambda s: {key: value for key, value in s.items() if not key.startswith("conv4.1.conv3.bn.r")},
        "peer.pth is no osnet_x0_25: 2 keys of the backbone are missing, such as"
        " backbone.conv4.1.conv3.bn.running_mean (the file has 565 keys, such as conv1.conv.weight)",
    ),
    "foreign": (
        lambda s: s | {"extra.weight": torch.ones(1)},
        "peer.pth has 1 keys that osnet_x0_25 has no place for here, such as extra.weight",
    ),
    "shape": (
        lambda s: s | {"conv1.bn.bias": torch.zeros(3)},
        "peer.pth does not fit the model: backbone.conv1.bn.bias must have shape (16,), got (3,)",
    ),
    "not finite": (
        lambda s: s | {"conv1.bn.bias": torch.full((16,), torch.nan)},
        "peer.pth does not fit the model: backbone.conv1.bn.bias must be finite in torch.float32, 16 of 16"
        " numbers are not",
    ),
}


@pytest.mark.parametrize("case", IMPORT_FAULTS)
def test_a_file_that_is_not_this_very_network_is_refused(small_file, case):
    change, expected = IMPORT_FAULTS[case]
    assert refusal(imported, change(small_file)) == expected


def test_counters_of_batches_may_be_absent(small_file):
    state = {key: value for key, value in small_file.items() if not key.endswith("num_batches_tracked")}
    report = imported(state).report
    assert all(key.startswith("neck.") or key.endswith("_tracked") for key in report.missing)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: detect_in({"a": torch.ones(1)}, PATH), "peer.pth: the keys fit no known family: a of 1"),
        (
            lambda: import_content({"backbone.cls_token": torch.ones(1)}, PATH),
            "peer.pth: the keys fit more than one family",
        ),
    ],
)
def test_refusals_of_keys_name_the_file(call, expected):
    assert refusal(call).startswith(expected)


def test_refusals_of_a_plan_name_the_file():
    state = make().state_dict()
    message = refusal(convert, state, detect(shapes_of(state)), PATH)
    assert message.startswith("peer.pth: a state dict of this toolkit without its header does not say")

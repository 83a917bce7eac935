"""Weights from the files of this field; every key accounted for, nothing unsafe read."""

import logging
import re

import pytest
import timm
import torch

from reid.models import ModelSpec, ReIDModel, load_pretrained
from reid.models.read import count_classes, read_file, state_dict_in
from reid.models.weights import load_strictly
from reid.utils import InputError

MICRO = {"patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4}
MODEL_KEYS_OUTSIDE_THE_BACKBONE = [
    "neck.weight",
    "neck.bias",
    "neck.running_mean",
    "neck.running_var",
    "neck.num_batches_tracked",
    "classifier.weight",
]


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


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


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
    "teacher of data parallel": lambda s: {"teacher": prefixed(s, "module.backbone.")},
    "nested": lambda s: {"state_dict": {"model": prefixed(s, "module.backbone.")}},
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", ["vit_micro", "resnet10"])
def test_a_pre_training_is_taken_over_bitwise_in_every_wrapping(name, wrap, tmp_path):
    model, state = make(name), from_timm(name)
    before = {key: model.state_dict()[key].clone() for key in MODEL_KEYS_OUTSIDE_THE_BACKBONE}
    report = load_pretrained(model, save(tmp_path, WRAPS[wrap](state)))
    assert_backbone_is(model, state)
    assert sorted(report.loaded) == sorted(prefixed(backbone_only(state), "backbone."))
    assert report.resized == []
    assert sorted(report.fresh) == sorted(MODEL_KEYS_OUTSIDE_THE_BACKBONE)
    assert len(report.dropped) == 2
    assert all(key.startswith(("head.", "fc.")) for key in report.dropped)
    for key, value in before.items():
        assert torch.equal(model.state_dict()[key], value), key


def transreid(classes):
    """The keys of a TransReID checkpoint: base, bottleneck, classifier, and the ImageNet head inside base."""
    state = prefixed(backbone_only(from_timm()), "base.")
    state |= {"base.fc.weight": torch.ones(1000, 128), "base.fc.bias": torch.ones(1000)}
    neck = {"weight": 2.0, "bias": 0.0, "running_mean": 3.0, "running_var": 4.0}
    state |= {f"bottleneck.{key}": torch.full((128,), value) for key, value in neck.items()}
    state["bottleneck.num_batches_tracked"] = torch.tensor(6)
    return state | {"classifier.weight": torch.full((classes, 128), 5.0)}


def test_transreids_format_fills_backbone_neck_and_classifier(tmp_path):
    model, path = make(), save(tmp_path, transreid(5))
    report = load_pretrained(model, path)
    assert_backbone_is(model, from_timm())
    state = model.state_dict()
    values = [
        state[f"neck.{key}"].unique().item() for key in ("weight", "bias", "running_mean", "running_var")
    ]
    assert values == [2, 0, 3, 4]
    assert state["classifier.weight"].unique().item() == 5
    assert state["neck.num_batches_tracked"] == 6
    assert sorted(report.dropped) == ["fc.bias", "fc.weight"]
    assert report.fresh == []
    assert count_classes(state_dict_in(read_file(path), path)) == 5


def test_a_classifier_of_other_identities_is_dropped_and_starts_anew(tmp_path):
    model = make(classes=9)
    before = model.classifier.weight.clone()
    report = load_pretrained(model, save(tmp_path, transreid(5)))
    assert "classifier.weight" in report.dropped
    assert report.fresh == ["classifier.weight"]
    assert torch.equal(model.classifier.weight, before)


def test_our_own_state_dict_is_taken_over_whole(tmp_path):
    source, model = make(), make()
    torch.nn.init.normal_(source.backbone.cls_token)
    report = load_pretrained(model, save(tmp_path, source.state_dict()))
    assert torch.equal(model.backbone.cls_token, source.backbone.cls_token)
    assert (len(report.loaded), report.dropped, report.fresh) == (len(model.state_dict()), [], [])


@pytest.mark.parametrize(("size", "ratio"), [((128, 64), 2), ((64, 64), 1)])
def test_a_position_embedding_of_another_size_is_resized_and_the_rest_is_not(size, ratio, tmp_path):
    state, model = from_timm(size=size), make()
    report = load_pretrained(model, save(tmp_path, state), ratio)
    assert report.resized == ["backbone.pos_embed"]
    assert torch.equal(model.backbone.pos_embed[:, 0], state["pos_embed"][:, 0])
    old = state["pos_embed"][:, 1:].reshape(1, size[0] // 8, size[1] // 8, 128).permute(0, 3, 1, 2)
    new = torch.nn.functional.interpolate(old, size=(8, 4), mode="bilinear").flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.backbone.pos_embed[:, 1:], new)
    assert torch.equal(model.backbone.cls_token, state["cls_token"])


def test_the_wrong_ratio_of_a_pre_training_is_refused_with_the_key_to_set(tmp_path):
    path = save(tmp_path, from_timm(size=(128, 64)))
    assert "set MODEL.PRETRAIN_HW_RATIO" in refusal(load_pretrained, make(), path, 1)


def test_the_report_names_what_was_not_simply_taken_over(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    with caplog.at_level("INFO", logger="reid"):
        path = save(tmp_path, from_timm(size=(128, 64)))
        report = load_pretrained(make(), path, 2)
    line = report.describe()
    assert line.startswith(
        "53 loaded; 1 resized (backbone.pos_embed); 2 dropped (head.weight, head.bias); 6 fresh"
    )
    assert f"{path}: {line}" in caplog.text


@pytest.mark.parametrize("key", ["blocks.2.mlp.fc1.weight", "cls_token", "norm.bias"])
def test_a_missing_backbone_key_is_refused_by_name_and_nothing_is_changed(key, tmp_path):
    state, model = from_timm(), make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    del state[key]
    message = refusal(load_pretrained, model, save(tmp_path, state))
    assert f"is no vit_micro: 1 backbone keys are missing, such as backbone.{key}" in message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_wrong_shape_is_refused_with_both_and_nothing_is_changed(tmp_path):
    state, model = from_timm(), make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state["norm.weight"] = torch.ones(64)
    message = refusal(load_pretrained, model, save(tmp_path, state))
    assert "backbone.norm.weight must have shape (128,), got (64,)" in message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_position_embedding_of_another_width_is_refused(tmp_path):
    state = from_timm(size=(64, 64))
    state["pos_embed"] = state["pos_embed"][..., :64]
    assert "backbone.pos_embed must have shape (1, 33, 128), got (1, 33, 64)" in refusal(
        load_pretrained, make(), save(tmp_path, state)
    )


@pytest.mark.parametrize(("name", "other"), [("vit_micro", "resnet10"), ("resnet10", "vit_micro")])
def test_another_network_is_refused(name, other, tmp_path):
    message = refusal(load_pretrained, make(name), save(tmp_path, from_timm(other)))
    assert f"is no {name}: " in message
    assert "backbone keys are missing, such as backbone." in message


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({}, "a dictionary without tensors"),
        ({"model": {}}, "a dictionary without tensors"),
        ({"epoch": 3}, "a dictionary without tensors"),
        ([torch.ones(2)], "must hold a state dict, got list"),
        (torch.ones(2), "must hold a state dict, got Tensor"),
        (None, "must hold a state dict, got NoneType"),
    ],
)
def test_a_file_without_a_state_dict_is_refused_with_what_it_holds(content, match, tmp_path):
    path = save(tmp_path, content)
    message = refusal(load_pretrained, make(), path)
    assert match in message
    assert str(path) in message


def test_what_is_no_tensor_is_left_out_and_numbers_as_keys_are_names():
    found = state_dict_in({"module.a": torch.ones(1), "epoch": 3, 7: torch.ones(1)}, None)
    assert sorted(found) == ["7", "a"]


@pytest.mark.parametrize(
    ("tensors", "count"),
    [
        ({"classifier.weight": torch.ones(7, 2)}, 7),
        ({"classifier.weight": torch.tensor(7.0)}, 0),
        ({"a": torch.ones(1)}, 0),
    ],
)
def test_classes_are_counted_by_the_classifier(tensors, count):
    assert count_classes(tensors) == count


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.pop("weight"), "weight is missing$"),
        (lambda s: s.update(extra=torch.ones(1)), "extra is unexpected$"),
        (lambda s: s.update(weight=torch.ones(2, 2)), r"weight must have shape \(2, 3\), got \(2, 2\)$"),
        (lambda s: s.clear(), r"weight is missing \(and 1 more\)$"),
    ],
    ids=["missing", "unexpected", "shape", "all"],
)
def test_strict_loading_names_the_first_fault_and_counts_the_others(change, match):
    layer = torch.nn.Linear(3, 2)
    state = dict(torch.nn.Linear(3, 2).state_dict())
    change(state)
    with pytest.raises(InputError, match=match):
        load_strictly(layer, state, "x.pth")


NO_WEIGHTS = {
    "none": (lambda v: None, "must be a tensor, got NoneType"),
    "number": (lambda v: 1.0, "must be a tensor, got float"),
    "nan": (lambda v: v.index_fill(0, torch.tensor([1]), torch.nan), "must be finite in torch.float32"),
    "overflow": (lambda v: v.double() + 1e300, "must be finite in torch.float32, 128 of 128 numbers are not"),
    "whole": (lambda v: v.int(), "must hold floating-point numbers, got torch.int32"),
    "complex": (lambda v: v + 1j, "must hold floating-point numbers, got torch.complex64"),
    "sparse": (lambda v: v.to_sparse(), "must be a dense tensor, got torch.sparse_coo"),
    "meta": (lambda v: v.to("meta"), "must be a dense tensor, got one without values"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, on sparse tensors in files
@pytest.mark.parametrize("fault", NO_WEIGHTS)
def test_values_that_are_no_weights_are_refused_by_the_first_key(fault, tmp_path):
    change, match = NO_WEIGHTS[fault]
    model, state = make(), make().state_dict()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state |= {key: change(state[key]) for key in ("backbone.norm.weight", "neck.weight")}
    with pytest.raises(InputError, match=re.escape(f"backbone.norm.weight {match}") + r".* \(and 1 more\)$"):
        load_strictly(model, state, "x.pth")
    message = refusal(load_pretrained, model, save(tmp_path, state))
    assert "backbone.norm.weight" in message
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_position_embedding_is_checked_before_it_is_resized(tmp_path):
    state = from_timm(size=(64, 64))
    state["pos_embed"] = state["pos_embed"].to_sparse()
    assert "backbone.pos_embed must be a dense tensor" in refusal(
        load_pretrained, make(), save(tmp_path, state)
    )


@pytest.mark.parametrize("count", [torch.tensor(3.0), torch.tensor(True)])
def test_a_counter_must_be_whole(count):
    norm = torch.nn.BatchNorm1d(2)
    with pytest.raises(InputError, match=f"num_batches_tracked must hold whole numbers, got {count.dtype}"):
        load_strictly(norm, norm.state_dict() | {"num_batches_tracked": count}, "x.pth")


def test_half_precision_is_taken_over():
    layer = torch.nn.Linear(3, 2)
    state = {key: value.half() for key, value in torch.nn.Linear(3, 2).state_dict().items()}
    load_strictly(layer, state, "x.pth")
    assert torch.equal(layer.weight, state["weight"].float())

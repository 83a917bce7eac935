"""Checkpoints: the same bits again, a header that cannot lie, and never half a file."""

import functools
import io
import json
import logging
import tempfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from denoisers import randomise_denoisers
from PIL import Image

import reid
from reid.denoise import denoised_layers, fuse_denoisers
from reid.models import (
    DenoiseSpec,
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    SideSpec,
    Training,
    load_checkpoint,
    load_model,
    load_pretrained,
    save_checkpoint,
)
from reid.models.backbones.osnet import OSNet
from reid.models.checkpoint import read_header
from reid.models.read import read_file
from reid.utils import InputError

IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
PREPROCESSING = Preprocessing((64, 32), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
TRAINING = Training(
    "drawn", "train", 9, 5, 2, "label_free", 3, Training("more", "train", 7, 5, 2, "baseline", 1)
)
TARGETS = {"vit_micro": ("mlp", "attn"), "resnet10": ("conv",)}


def make(name="vit_micro", state="none", neck_feat="after"):
    torch.manual_seed(3)
    spec = ModelSpec(name, (64, 32), 5, neck_feat=neck_feat)
    model, denoise = ReIDModel(spec), None
    torch.nn.init.normal_(model.neck.running_mean)
    if state != "none":
        denoise = DenoiseSpec(
            TARGETS[name], steps=2, timesteps=500, beta_start=0.001, beta_end=0.01, rescale=False
        )
        model = randomise_denoisers(denoise.attach(model))
    if state == "fused":
        model = fuse_denoisers(model)
    return model.eval(), Header(spec, PREPROCESSING, denoise, state, TRAINING)


def refusal(path, call=load_checkpoint):
    with pytest.raises(InputError) as caught:
        call(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@torch.no_grad()
def features(model):
    return model.embed(IMAGES)


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("state", ["none", "attached", "fused"])
@pytest.mark.parametrize("name", ["vit_micro", pytest.param("resnet10", marks=pytest.mark.slow)])
def test_a_round_trip_gives_bitwise_the_same_features_and_header(name, state, ending, tmp_path):
    path = tmp_path / "new" / f"model.{ending}"
    model, header = make(name, state)
    save_checkpoint(path, model, header)
    torch.manual_seed(99)
    again, read = load_checkpoint(path)
    assert torch.equal(features(again), features(model))
    assert read == header
    assert not again.training
    assert again.spec == header.model
    assert list(again.state_dict()) == list(model.state_dict())
    assert bool(denoised_layers(again)) == (state == "attached")
    assert_same_bits(read_file(path)["state_dict"], model.state_dict())


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
        assert found[key].dtype == value.dtype, key


@pytest.mark.parametrize("state", ["attached", "fused"])
def test_tensors_with_channels_last_and_shared_ones_are_saved_whole(state, tmp_path):
    model, header = make("resnet10", state)
    model.to(memory_format=torch.channels_last)
    first, second = model.backbone.layer1[0].bn1, model.backbone.layer1[0].bn2
    second.weight = first.weight  # one tensor under two names
    second.running_mean = first.running_mean[:]  # another that begins in the same memory
    state_dict = model.state_dict()
    assert not state_dict["backbone.conv1.0.weight"].is_contiguous()
    for name in ("model.pth", "model.safetensors"):
        save_checkpoint(tmp_path / name, model, header)
        assert_same_bits(read_file(tmp_path / name)["state_dict"], state_dict)
    assert_same_bits(load_model(tmp_path / "model.safetensors").state_dict(), state_dict)
    assert second.weight is first.weight


def test_safetensors_hold_the_header_as_text_beside_the_tensors(tmp_path):
    model, header = make()
    save_checkpoint(tmp_path / "model.SafeTensors", model, header)
    with safetensors.safe_open(tmp_path / "model.SafeTensors", framework="pt") as file:
        assert set(file.keys()) == set(model.state_dict())
        assert file.metadata() == {"format": "pt", "header": header.as_json()}


def test_the_form_is_read_by_its_content_whatever_the_name(tmp_path):
    model, header = make()
    save_checkpoint(tmp_path / "a.safetensors", model, header)
    save_checkpoint(tmp_path / "b.pth", model, header)
    (tmp_path / "a.safetensors").rename(tmp_path / "a.pth")
    (tmp_path / "b.pth").rename(tmp_path / "b.safetensors")
    for name in ("a.pth", "b.safetensors"):
        assert torch.equal(features(load_model(tmp_path / name)), features(model))


def test_the_three_states_are_different_models(tmp_path):
    plain, attached, fused = (features(make(state=state)[0]) for state in ("none", "attached", "fused"))
    assert not torch.allclose(plain, attached, atol=1e-3)
    torch.testing.assert_close(attached, fused, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("load", [load_model, reid.load_model, lambda path: load_model(str(path))])
def test_load_model_from_the_package_embeds_images(load, tmp_path):
    model, header = make()
    save_checkpoint(tmp_path / "model.pth", model, header)
    assert torch.equal(features(load(tmp_path / "model.pth")), features(model))


def test_a_loaded_model_prepares_images_as_its_checkpoint_says(tmp_path):
    save_checkpoint(tmp_path / "model.pth", *make(state="attached"))
    image = Image.new("RGB", (30, 50), (255, 0, 51))
    loaded = load_model(tmp_path / "model.pth")
    assert torch.equal(loaded.preprocess(image), PREPROCESSING(image))
    assert torch.equal(fuse_denoisers(loaded).preprocess(image), PREPROCESSING(image))


def test_the_header_alone_can_be_read(tmp_path):
    model, header = make()
    for name in ("model.pth", "model.safetensors"):
        save_checkpoint(tmp_path / name, model, header)
        assert read_header(tmp_path / name) == header
    torch.save(model.state_dict(), tmp_path / "plain.pth")
    assert read_header(tmp_path / "plain.pth") is None


def test_reid_has_no_other_lazy_name():
    with pytest.raises(AttributeError, match="module 'reid' has no attribute 'load_models'"):
        reid.load_models  # noqa: B018


def test_a_checkpoint_is_a_plain_file_of_tensors_and_text(tmp_path):
    model, header = make()
    save_checkpoint(tmp_path / "model.pth", model, header)
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert set(content) == {"header", "state_dict"}
    assert json.loads(content["header"])["model"]["name"] == "vit_micro"


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_pre_training_can_start_from_a_fused_checkpoint(ending, tmp_path):
    model, header = make(state="fused")
    save_checkpoint(tmp_path / f"model.{ending}", model, header)
    plain = make()[0]
    report = load_pretrained(plain, tmp_path / f"model.{ending}")
    assert (report.dropped, report.missing) == ([], [])
    assert torch.equal(features(plain), features(model))


SIZES = {"model": "image_size", "preprocessing": "size"}


@functools.cache
def good_file(state):
    """What is in the file of a good checkpoint: making the model takes longer than every change of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pth")
        save_checkpoint(path, *make(state=state))
        return path.read_bytes()


def tampered(folder, change, state="attached"):
    """A good checkpoint whose header went through ``change``."""
    content = torch.load(io.BytesIO(good_file(state)), weights_only=True)
    tree = json.loads(content["header"])
    content["header"] = json.dumps(change(tree) or tree)
    torch.save(content, folder / "model.pth")
    return folder / "model.pth"


UNREAD = "has a header that this version cannot read: "


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.update(format="denoisereid-9"), "format must be denoisereid-1, got 'denoisereid-9'"),
        (lambda t: t.pop("format") and None, "format must be denoisereid-1, got None"),
        (lambda t: [1], "format must be denoisereid-1, got None"),
        (lambda t: t.pop("model") and None, "model is missing"),
        (lambda t: t.update(model="vit"), "model must be an object with named fields, got 'vit'"),
        (lambda t: t.update(denoise=[1]), "denoise must be an object with named fields, got [1]"),
        (lambda t: t.update(extra=1), "extra is a field that this version does not know"),
        (lambda t: t["model"].pop("num_classes") and None, "model.num_classes is missing"),
        (lambda t: t["model"].update(num_classes=10**9), "model.num_classes must be in 0..1000000"),
        (lambda t: t["model"].update(image_size=None), "model.image_size must be a list, got None"),
        (lambda t: t["model"].update(image_size=[64]), "model.image_size must be a list of 2, got [64]"),
        (lambda t: t["model"].update(image_size=[64, 10**9]), "model.image_size must be a height and width"),
        (lambda t: t["model"].update(drop_path="a"), "model.drop_path must be a finite number, got 'a'"),
        (lambda t: t["model"].update(drop_path=2), "model.drop_path must be in 0..1, got 2"),
        (lambda t: t["model"].update(last_stride=3), "model.last_stride must be 1 or 2, got 3"),
        (
            lambda t: t["model"].update(neck_feat="middle"),
            "model.neck_feat must be one of before, after, got",
        ),
        (
            lambda t: t["preprocessing"].update(mean=[0.5]),
            "preprocessing.mean must be a list of 3, got [0.5]",
        ),
        (lambda t: t["preprocessing"].update(std=[1, 1, 0]), "preprocessing.std must be three numbers in"),
        (lambda t: t.update(state="melted"), "state must be one of none, attached, fused, got 'melted'"),
        (lambda t: t.update(denoise=None), "denoise must say how the denoisers are attached, got None"),
        (lambda t: t["denoise"].update(rescale="no"), "denoise.rescale must be true or false, got 'no'"),
        (lambda t: t["denoise"].update(steps=1.5), "denoise.steps must be a whole number, got 1.5"),
        (lambda t: t["denoise"].update(steps=0), "denoise.steps must be in 1..100000, got 0"),
        (
            lambda t: t["denoise"].update(timesteps=10**12),
            "denoise.timesteps must be in 1..100000, got 1000000",
        ),
        (lambda t: t["denoise"].update(beta_end=0.0), "denoise.betas must satisfy"),
        (lambda t: t.update(training="drawn"), "training must be an object with named fields, got 'drawn'"),
        (lambda t: t["training"].pop("stage") and None, "training.stage is missing"),
        (lambda t: t.update(versions={"torch": 2}), "versions.torch must be a text, got 2"),
    ],
)
def test_a_field_of_the_header_that_was_tampered_with_is_named(change, match, tmp_path):
    assert f"model.pth {UNREAD}{match}" in refusal(tampered(tmp_path, change))


@pytest.mark.parametrize(
    "text",
    ["[" * 10**5, '{"training": ' * 10**5, '{"format": ' + "1" * 5000 + "}"],
    ids=["lists", "objects", "digits"],
)
def test_text_that_no_header_has_is_refused(text, tmp_path):
    torch.save({"header": text, "state_dict": {}}, tmp_path / "x.pth")
    message = refusal(tmp_path / "x.pth")
    assert UNREAD in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t["model"].update(name="vit_tiny"), "describes no model: unknown backbone"),
        (lambda t: t["model"].update(name="resnet10"), "model: backbone.conv1.0.weight is missing (and "),
        (
            lambda t: t["model"].update(num_classes=6),
            "classifier.weight must have shape (6, 128), got (5, 128)",
        ),
        (
            lambda t: t["model"].update(image_size=[128, 64]),
            "describes no model: vit_micro works at one image size: the preprocessing's [64, 32]",
        ),
        (
            lambda t: [t[k].update({f: [128, 64]}) for k, f in SIZES.items()] and None,
            "backbone.pos_embed must have shape (1, 129, 128)",
        ),
        (lambda t: t["model"].update(image_size=[64, 33]), "multiples of the patch (8 pixels), got 64x33"),
        (lambda t: t.update(state="none"), "denoiser.weight is unexpected"),
        (lambda t: t.update(state="fused"), "denoiser.weight is unexpected"),
        (lambda t: t["denoise"].update(targets=["mlp"]), "denoiser.weight is unexpected"),
        (lambda t: t["denoise"].update(targets=["nothing"]), "denoisers cannot be attached to vit_micro"),
        (lambda t: t["denoise"].update(timesteps=1), "denoisers cannot be attached to vit_micro"),
    ],
)
def test_a_header_of_another_model_is_refused(change, match, tmp_path):
    assert match in refusal(tampered(tmp_path, change))


def test_a_plain_checkpoint_of_another_backbone_is_refused(tmp_path):
    path = tampered(tmp_path, lambda t: t["model"].update(name="resnet10"), state="none")
    assert f"{path} does not fit the model: backbone.conv1.0.weight is missing (and " in refusal(path)


def test_a_plain_checkpoint_that_says_attached_is_refused(tmp_path):
    def claim(tree):
        tree.update(state="attached", denoise={"targets": ["mlp"]})

    assert "denoiser.weight is missing" in refusal(tampered(tmp_path, claim, state="none"))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"header": "{no json", "state_dict": {}}, "has a header that this version cannot read: Expecting"),
        ({"header": 3, "state_dict": {}}, "must hold a state dict, got a dictionary without tensors"),
        ({"a": torch.ones(1)}, "the keys fit no known family: a of 1"),
        ([], "must hold a state dict, got list"),
    ],
)
def test_content_that_is_no_checkpoint_is_refused(content, match, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    own = (
        match if "header that" in match else "is no checkpoint of this toolkit; MODEL.PRETRAIN_PATH can start"
    )
    assert own in refusal(tmp_path / "x.pth")
    assert match in refusal(tmp_path / "x.pth", load_model)


def test_a_model_of_another_code_base_is_loaded_as_it_is(tmp_path):
    torch.manual_seed(0)
    peer = OSNet("osnet_x0_25").eval()
    classifier = {"classifier.weight": torch.ones(5, 512), "classifier.bias": torch.ones(5)}
    torch.save({"state_dict": peer.state_dict() | classifier}, tmp_path / "peer.pth")
    model = load_model(tmp_path / "peer.pth")
    with torch.no_grad():
        assert torch.equal(model.embed(IMAGES), peer(IMAGES))
    assert (model.preprocessing.size, model.spec.num_classes) == ((256, 128), 5)


def test_a_model_with_side_information_says_what_unknown_cameras_take(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    spec = ModelSpec("vit_micro", (64, 32), 3, side=SideSpec((2, 5), (), 3.0, "mine"))
    save_checkpoint(tmp_path / "x.pth", ReIDModel(spec), Header(spec, make()[1].preprocessing))
    with caplog.at_level("INFO", logger="reid"):
        model = load_model(tmp_path / "x.pth")
        model.embed(IMAGES)
        model.embed(IMAGES)
    assert model.spec == spec
    assert "tells 2 cameras and 0 views apart" in caplog.text
    assert caplog.text.count("no cameras are given: the mean of their embeddings is used") == 1


@pytest.mark.parametrize("state_dict", [None, 3, []])
def test_a_header_without_a_state_dict_is_refused(state_dict, tmp_path):
    content = {"header": make()[1].as_json()} | ({} if state_dict is None else {"state_dict": state_dict})
    torch.save(content, tmp_path / "x.pth")
    assert "has a header but no state_dict" in refusal(tmp_path / "x.pth")


def test_a_header_that_was_tampered_with_is_refused_in_safetensors_too(tmp_path):
    tensors = {"a": torch.ones(1)}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors", {"header": '{"format": "other"}'})
    assert f"x.safetensors {UNREAD}format must be denoisereid-1" in refusal(tmp_path / "x.safetensors")


def test_a_missing_file_is_refused(tmp_path):
    assert "weights not found" in refusal(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("ending", "writer"),
    [("pth", "torch.save"), ("safetensors", "reid.models.checkpoint.to_safetensors")],
)
def test_a_failed_save_leaves_the_old_checkpoint_and_no_other_file(ending, writer, tmp_path, monkeypatch):
    path = tmp_path / f"model.{ending}"
    model, header = make()
    save_checkpoint(path, model, header)
    old = path.read_bytes()

    def fill_the_disk(content, target):
        if ending == "pth":
            target.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, make("resnet10")[0], header)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]

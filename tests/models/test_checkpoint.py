"""Checkpoints: the same bits again, a header that cannot lie, and never half a file."""

import json

import pytest
import torch
from denoisers import randomise_denoisers

import reid
from reid.denoise import NoiseSchedule, attach_denoisers, denoised_layers, fuse_denoisers
from reid.models import (
    DenoiseSpec,
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    load_checkpoint,
    load_model,
    load_pretrained,
    save_checkpoint,
)
from reid.utils import InputError

IMAGES = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
PREPROCESSING = Preprocessing((64, 32), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
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
    return model.eval(), Header(spec, PREPROCESSING, denoise, state, {"dataset": "drawn", "epochs": 3})


def refusal(path, call=load_checkpoint):
    with pytest.raises(InputError) as caught:
        call(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@torch.no_grad()
def features(model):
    return model.embed(IMAGES)


@pytest.mark.parametrize("state", ["none", "attached", "fused"])
@pytest.mark.parametrize("name", ["vit_micro", "resnet10"])
def test_a_round_trip_gives_bitwise_the_same_features_and_header(name, state, tmp_path):
    path = tmp_path / "new" / "model.pth"
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


def test_the_three_states_are_different_models(tmp_path):
    plain, attached, fused = (features(make(state=state)[0]) for state in ("none", "attached", "fused"))
    assert not torch.allclose(plain, attached, atol=1e-3)
    torch.testing.assert_close(attached, fused, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("load", [load_model, reid.load_model, lambda path: load_model(str(path))])
def test_load_model_from_the_package_embeds_images(load, tmp_path):
    model, header = make()
    save_checkpoint(tmp_path / "model.pth", model, header)
    assert torch.equal(features(load(tmp_path / "model.pth")), features(model))


def test_reid_has_no_other_lazy_name():
    with pytest.raises(AttributeError, match="module 'reid' has no attribute 'load_models'"):
        reid.load_models  # noqa: B018


def test_the_header_names_the_versions_that_wrote_it():
    versions = make()[1].versions
    assert versions["torch"] == torch.__version__
    assert versions["reid"] == reid.__version__
    assert {"timm", "torchvision", "python"} <= set(versions)


def test_a_checkpoint_is_a_plain_file_of_tensors_and_text(tmp_path):
    model, header = make()
    save_checkpoint(tmp_path / "model.pth", model, header)
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert set(content) == {"header", "state_dict"}
    assert json.loads(content["header"])["model"]["name"] == "vit_micro"


def test_a_pre_training_can_start_from_a_fused_checkpoint(tmp_path):
    model, header = make(state="fused")
    save_checkpoint(tmp_path / "model.pth", model, header)
    plain = make()[0]
    report = load_pretrained(plain, tmp_path / "model.pth")
    assert (report.dropped, report.fresh) == ([], [])
    assert torch.equal(features(plain), features(model))


def tampered(folder, change, state="attached"):
    """A good checkpoint whose header went through ``change``."""
    path = folder / "model.pth"
    save_checkpoint(path, *make(state=state))
    content = torch.load(path, weights_only=True)
    tree = json.loads(content["header"])
    content["header"] = json.dumps(change(tree) or tree)
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.update(format="denoisereid-9"), "is no checkpoint of this version (denoisereid-1)"),
        (lambda t: t.pop("format") and None, "is no checkpoint of this version"),
        (lambda t: [1], "is no checkpoint of this version"),
        (lambda t: t.pop("model") and None, "a header that this version cannot read: 'model'"),
        (lambda t: t.update(model="vit"), "a header that this version cannot read"),
        (lambda t: t.update(denoise=[1]), "a header that this version cannot read"),
        (lambda t: t.update(extra=1), "unexpected keyword argument 'extra'"),
        (lambda t: t["model"].update(extra=1), "unexpected keyword argument 'extra'"),
        (lambda t: t["model"].pop("num_classes") and None, "num_classes"),
        (lambda t: t["model"].update(name="vit_tiny"), "unknown backbone"),
        (lambda t: t["model"].update(name="resnet10"), "denoisers cannot be attached to resnet10"),
        (
            lambda t: t["model"].update(num_classes=6),
            "classifier.weight must have shape (6, 128), got (5, 128)",
        ),
        (
            lambda t: t["model"].update(image_size=[128, 64]),
            "backbone.pos_embed must have shape (1, 129, 128)",
        ),
        (lambda t: t["model"].update(image_size=[64, 33]), "multiples of 8, got 64x33"),
        (lambda t: t["model"].update(neck_feat="middle"), "neck_feat must be before or after, got 'middle'"),
        (lambda t: t.update(state="melted"), "must be in state none, attached or fused, got 'melted'"),
        (lambda t: t.update(state="none"), "denoiser.weight is unexpected"),
        (lambda t: t.update(state="fused"), "denoiser.weight is unexpected"),
        (lambda t: t.update(denoise=None), "says that denoisers are attached but not how"),
        (lambda t: t["denoise"].update(targets=["mlp"]), "denoiser.weight is unexpected"),
        (lambda t: t["denoise"].update(targets=["nothing"]), "denoisers cannot be attached to vit_micro"),
        (lambda t: t["denoise"].update(timesteps=1), "denoisers cannot be attached to vit_micro"),
        (lambda t: t["denoise"].update(beta_end=0.0), "betas must satisfy"),
    ],
)
def test_a_header_that_was_tampered_with_is_refused(change, match, tmp_path):
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
        ({"header": "{no json", "state_dict": {"a": torch.ones(1)}}, "has a header that is no JSON"),
        ({"header": 3, "state_dict": {}}, "is no checkpoint of this toolkit; MODEL.PRETRAIN_PATH can start"),
        ({"a": torch.ones(1)}, "is no checkpoint of this toolkit; MODEL.PRETRAIN_PATH can start"),
        ([], "is no checkpoint of this toolkit"),
    ],
)
def test_content_that_is_no_checkpoint_is_refused(content, match, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    assert match in refusal(tmp_path / "x.pth")
    assert match in refusal(tmp_path / "x.pth", load_model)


@pytest.mark.parametrize("state_dict", [None, 3, []])
def test_a_header_without_a_state_dict_is_refused(state_dict, tmp_path):
    content = {"header": make()[1].as_json()} | ({} if state_dict is None else {"state_dict": state_dict})
    torch.save(content, tmp_path / "x.pth")
    assert "has a header but no state_dict" in refusal(tmp_path / "x.pth")


def test_a_missing_file_is_refused(tmp_path):
    assert "weights not found" in refusal(tmp_path / "none.pth")


def test_a_failed_save_leaves_the_old_checkpoint_and_no_other_file(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    model, header = make()
    save_checkpoint(path, model, header)
    old = path.read_bytes()

    def fill_the_disk(content, file):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, make("resnet10")[0], header)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_every_field_of_a_denoise_spec_reaches_the_denoisers():
    # A round trip cannot see a field that is lost in both directions.
    attached, header = make(state="attached")
    direct = attach_denoisers(make()[0], ("mlp", "attn"), NoiseSchedule(500, 0.001, 0.01, False), 2)
    assert header.denoise == DenoiseSpec(("mlp", "attn"), 2, 500, 0.001, 0.01, False)
    assert torch.equal(features(randomise_denoisers(direct).eval()), features(attached))
    paper = attach_denoisers(make()[0], ("mlp", "attn"), NoiseSchedule(500, 0.001, 0.01, True), 2)
    assert not torch.equal(features(randomise_denoisers(paper).eval()), features(attached))


def test_a_spec_that_cannot_be_attached_is_an_input_error():
    with pytest.raises(InputError, match="denoisers cannot be attached to resnet10: no layer to denoise"):
        DenoiseSpec(("mlp",)).attach(make("resnet10")[0])

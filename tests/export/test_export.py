"""A file computes what the model computes, in any batch, or is not written."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from peers import SHARED
from torch import nn

from reid.data import read_image
from reid.export import Settings, export_model, pick_format, plain_keys
from reid.models import (
    DenoiseSpec,
    JigsawSpec,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    SideSpec,
    load_any,
    load_model,
)
from reid.models.formats import convert, detect_in
from reid.utils import InputError

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
SIZE = (64, 32)
PREPARED = Preprocessing(SIZE, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
REAL = SHARED / "weights" / "osnet_x0_25_market1501.pth"
PHOTOS = SHARED / "data" / "vehicles2cam"


def build(name="vit_micro", **options):
    torch.manual_seed(0)
    return ReIDModel(ModelSpec(name, SIZE, 3, **options)).eval()


def images(count=3, size=SIZE):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


def denoised(model, targets):
    model = DenoiseSpec(targets).attach(model)
    torch.manual_seed(2)
    for key, value in model.named_parameters():
        if "denoiser" in key:
            nn.init.normal_(value, std=0.3)
    return model.eval()


def export(model, path, form, **options):
    return export_model(model, PREPARED, path, images(), Settings(form, **options))


@pytest.mark.parametrize("form", ["torchscript", pytest.param("torch_export", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "targets"), [("vit_micro", ("mlp",)), ("resnet10", ("conv",))])
def test_torchs_files_give_the_denoised_features_in_any_batch(tmp_path, capfd, form, name, targets):
    model = denoised(build(name), targets)
    assert export(model, tmp_path / "a.pt2", form).relative < 1e-5
    path = str(tmp_path / "a.pt2")
    call = torch.jit.load(path) if form == "torchscript" else torch.export.load(path).module()
    for count in (1, 2, 5):
        torch.testing.assert_close(call(images(count)), model.embed(images(count)), atol=1e-4, rtol=1e-4)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_micro", {}),
        pytest.param("resnet10", {}, marks=pytest.mark.slow),
        pytest.param("osnet_x0_25", {}, marks=pytest.mark.slow),
        pytest.param("clip_vit_micro", {}, marks=pytest.mark.slow),
        pytest.param("swin_tiny", {}, marks=pytest.mark.slow),
        pytest.param("vit_micro", {"side": SideSpec((0, 1)), "jigsaw": JigsawSpec()}, marks=pytest.mark.slow),
    ],
)
def test_onnx_gives_the_features_in_any_batch(tmp_path, capfd, name, options):
    runtime = pytest.importorskip("onnxruntime")
    model = build(name, **options)
    assert export(model, tmp_path / "a.onnx", "onnx").relative < 1e-4
    session = runtime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    assert [place.name for place in session.get_inputs() + session.get_outputs()] == ["images", "features"]
    for count in (1, 2, 5):
        (found,) = session.run(None, {"images": images(count).numpy()})
        torch.testing.assert_close(torch.from_numpy(found), model.embed(images(count)), atol=1e-3, rtol=1e-3)
    told = session.get_modelmeta().custom_metadata_map
    assert (told["name"], json.loads(told["size"]), int(told["dim"])) == (name, [64, 32], model.dim)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_preprocessing_inside_equals_outside(tmp_path):
    model, raw = build(), images() * 255
    settings = Settings("torchscript", with_preprocessing=True)
    export_model(model, PREPARED, tmp_path / "a.ts", raw, settings)
    mean, std = (torch.tensor(three)[:, None, None] for three in (PREPARED.mean, PREPARED.std))
    found = torch.jit.load(str(tmp_path / "a.ts"))(raw)
    torch.testing.assert_close(found, model.embed((raw / 255 - mean) / std), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("keys", [pytest.param("timm", marks=pytest.mark.slow), "torchvision"])
def test_a_plain_resnet_loads_strictly(tmp_path, keys):
    model = denoised(build("resnet18", last_stride=2), ("conv",))
    export(model, tmp_path / "a.pth", "plain", keys=keys)
    other = timm.create_model("resnet18", num_classes=0) if keys == "timm" else torchvision.models.resnet18()
    if keys == "torchvision":
        other.fc = nn.Identity()
    other.load_state_dict(torch.load(tmp_path / "a.pth"), strict=True)
    with torch.no_grad():
        found = other.eval()(images())
    torch.testing.assert_close(found, model.embed(images()), atol=1e-4, rtol=1e-4)
    # Without a head its keys are torchreid's, too.
    tensors = torch.load(tmp_path / "a.pth")
    again = convert(tensors, detect_in(tensors, Path("a.pth"), "imagenet"), Path("a.pth")).model
    torch.testing.assert_close(again.embed(images()), model.embed(images()), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_plain_vit_loads_strictly_and_comes_back(tmp_path):
    torch.manual_seed(0)
    model, photos = ReIDModel(ModelSpec("vit_small", (224, 224), 0)).eval(), images(2, (224, 224))
    prepared = replace(PREPARED, size=(224, 224))
    export_model(model, prepared, tmp_path / "a.pth", photos, Settings("plain"))
    other = timm.create_model("vit_small_patch16_224", num_classes=0)
    other.load_state_dict(torch.load(tmp_path / "a.pth"), strict=True)
    with torch.no_grad():
        torch.testing.assert_close(other.eval()(photos), model.embed(photos), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(load_model(tmp_path / "a.pth").embed(photos), model.embed(photos))


def test_transreid_keys_are_those_of_its_files():
    if not (SHARED / "spec").is_dir():
        pytest.skip("there are no listings of TransReID's files here")
    from peers import listing

    with torch.device("meta"):
        spec = ModelSpec("vit_base", (256, 128), 1041)
        keys = set(plain_keys(ReIDModel(spec), "transreid"))
        jigsaw = replace(spec, side=SideSpec(tuple(range(15))), jigsaw=JigsawSpec(), patch_stride=(12, 12))
        parts = set(plain_keys(ReIDModel(jigsaw), "transreid"))
    assert keys == {key for key in listing("transreid_vit_base_msmt17") if not key.startswith("base.fc.")}
    expected = listing("transreid_vit_base_jpm_sie_stride12_msmt17")
    assert parts == {key for key in expected if not key.startswith("base.fc.")}


@pytest.mark.parametrize(
    ("options", "keys", "needle"),
    [
        ({"adapted": True}, "timm", "the adaptation behind the embedding"),
        ({"neck_feat": "after"}, "timm", "TEST.NECK_FEAT after"),
        ({"side": SideSpec((0, 1))}, "timm", "side information"),
        ({"feat_dim": 16}, "transreid", "the layer that reduces the feature"),
        ({}, "torchvision", "the network vit_micro"),
        ({}, "torch", "unknown naming of keys"),
    ],
)
def test_what_keys_cannot_express_is_refused(tmp_path, options, keys, needle):
    with pytest.raises(InputError, match=needle):
        export(build(**options), tmp_path / "a.pth", "plain", keys=keys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("off", "told"), [(1e-2, "differ by 1.0e-02"), (float("nan"), "differ by nan")])
def test_above_the_tolerance_nothing_is_written(tmp_path, monkeypatch, off, told):
    (tmp_path / "a.ts").write_text("older")
    model = build()
    monkeypatch.setattr(torch.jit, "load", lambda file: lambda batch: model.embed(batch) * (1 + off))
    with pytest.raises(InputError, match=f"differ by at most.*{told}"):
        export(model, tmp_path / "a.ts", "torchscript", tolerance=1e-3)
    assert (tmp_path / "a.ts").read_text() == "older"


def test_a_path_that_onnx_cannot_take_is_named(tmp_path):
    with pytest.raises(InputError, match="paths of UTF-8 only, got"):
        export(build(), tmp_path / "a\udcff.onnx", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan"), float("inf")])
def test_a_tolerance_that_compares_nothing_is_refused(tolerance):
    with pytest.raises(InputError, match="a finite number of at least 0"):
        Settings("onnx", tolerance=tolerance)


@pytest.mark.slow
def test_preprocessing_and_side_information_go_into_one_onnx_file(tmp_path):
    pytest.importorskip("onnxruntime")
    model = build(side=SideSpec((0, 1)))
    settings = Settings("onnx", with_preprocessing=True)
    assert export_model(model, PREPARED, tmp_path / "a.onnx", images() * 255, settings).relative < 1e-4


def test_an_exporter_that_fails_is_told_in_one_line(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")

    def fail(*args, **options):
        raise ValueError("no such operation\nand more")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(InputError, match="express vit_micro, its exporter failed: no such operation; try"):
        export(build(), tmp_path / "a.onnx", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_without_a_package_of_onnx_it_says_what_to_install(tmp_path, monkeypatch, package):
    pytest.importorskip("onnxruntime")
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"onnx needs the package {package}: pip install .denoisereid\[onnx\]"
    ):
        export(build(), tmp_path / "a.onnx", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"side": SideSpec((0, 1, 2)), "jigsaw": JigsawSpec(), "patch_stride": (12, 12)}],
    ids=["plain", "cameras and jigsaw"],
)
def test_transreid_keys_come_back_from_the_file(tmp_path, options):
    """Denoised, fused, written with TransReID's keys, read as any file of TransReID: the same features."""
    torch.manual_seed(0)
    size, photos = (256, 128), images(2, (256, 128))
    model = denoised(ReIDModel(ModelSpec("vit_base", size, 3, **options)).eval(), ("mlp",))
    prepared = replace(PREPARED, size=size)
    export_model(model, prepared, tmp_path / "vit_base_msmt17.pth", photos, Settings("plain", "transreid"))
    again = load_model(tmp_path / "vit_base_msmt17.pth")
    torch.testing.assert_close(again.embed(photos), model.embed(photos), atol=1e-4, rtol=1e-4)


def test_the_suffix_tells_the_format(tmp_path):
    assert pick_format(tmp_path / "a.onnx", None) == "onnx"
    with pytest.raises(InputError, match="must be one of plain"):
        pick_format(tmp_path / "a.pth", None)


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL.is_file() and PHOTOS.is_dir()), reason="the real weights or images are not here"
)
def test_real_weights_on_real_images(tmp_path):
    pytest.importorskip("onnxruntime")
    model, header = load_any(REAL)
    paths = sorted(PHOTOS.rglob("*.jpg"))[:5] or sorted(PHOTOS.rglob("*.png"))[:5]
    photos = torch.stack([header.preprocessing(read_image(path)) for path in paths])
    found = export_model(model, header.preprocessing, tmp_path / "a.onnx", photos, Settings("onnx"))
    assert found.relative < 1e-4

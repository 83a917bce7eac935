import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from reid.models import (
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    SideSpec,
    SiteSpec,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from reid.models.embedding import EmbeddingDenoiser
from reid.utils import InputError

SPEC = ModelSpec("vit_micro", (64, 32), 3)
HALF = (0.5, 0.5, 0.5)


def test_a_feature_by_hand():
    layer = EmbeddingDenoiser(2)
    layer.set(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(
        layer(torch.tensor([[3.0, 4.0]])), torch.tensor([[2 * (0.6 - 0.1), 0.8 - 0.2]])
    )
    torch.testing.assert_close(layer(torch.tensor([[30.0, 40.0]])), layer(torch.tensor([[3.0, 4.0]])))


def test_an_adapted_model_embeds_through_it_and_comes_back_from_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    model = ReIDModel(replace(SPEC, adapted=True)).eval()
    plain = ReIDModel(SPEC).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(model.embed(images), model.embedding_denoiser(plain.embed(images)))
    path = tmp_path / "adapted.pth"
    save_checkpoint(path, model, Header(model.spec, Preprocessing((64, 32), HALF, HALF)))
    loaded, header = load_checkpoint(path)
    assert header.model.adapted
    assert torch.equal(loaded.embed(images), model.embed(images))


def test_a_checkpoint_needs_no_suffix(tmp_path):
    model = ReIDModel(SPEC).eval()
    save_checkpoint(tmp_path / "name", model, Header(SPEC, Preprocessing((64, 32), HALF, HALF)))
    assert load_checkpoint(tmp_path / "name")[1].model == SPEC


CAMERAS = (7, 2**40, 0)


def filled(cameras=CAMERAS, dim=5):
    """A layer, and what was put into it: A, mu; A_c, mu and mu_c of its map of cameras."""
    torch.manual_seed(0)
    layer = EmbeddingDenoiser(dim, cameras)
    alone = (torch.randn(dim, dim).double(), torch.randn(dim).double())
    told = (torch.randn(dim, dim).double(), torch.randn(dim).double())
    means = {camera: torch.randn(dim).double() for camera in cameras}
    layer.set(*alone)
    if cameras:
        layer.set_cameras(*told, means)
    return layer, alone, (*told, means)


def oracle(features, camids, alone, told):
    """One feature at a time, in float64."""
    rows = []
    for feature, camera in zip(features.double(), camids, strict=True):
        if camera is None or camera < 0:
            weight, own = alone
        else:
            weight, mean, means = told
            own = means.get(camera, mean)
        rows.append(weight @ (feature / feature.norm() - own))
    return torch.stack(rows)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_each_camera_takes_its_own_mean_others_that_of_all_and_unknown_ones_the_map_with_one_mean(dtype):
    layer, alone, told = filled()
    features, camids = torch.randn(7, 5) * 9, [0, 7, 2**40, -1, 3, 7, 0]
    if dtype == torch.int32:
        camids = [number if number < 2**31 else 8 for number in camids]
    expected = oracle(features, camids, alone, told)
    torch.testing.assert_close(
        layer(features, torch.tensor(camids, dtype=dtype)).double(), expected, atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        layer.double()(features.double(), torch.tensor(camids)), expected, atol=1e-6, rtol=1e-6
    )


def test_where_no_cameras_are_told_the_map_with_one_mean_is_taken():
    layer, alone, told = filled()
    features = torch.randn(4, 5)
    expected = oracle(features, 4 * [None], alone, told).float()
    torch.testing.assert_close(layer(features), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(layer(features, torch.full((4,), -1)), layer(features))
    assert not torch.allclose(layer(features, torch.full((4,), 99)), layer(features))


def test_a_layer_without_cameras_reads_none_and_takes_no_means():
    layer, *_ = filled(())
    features = torch.randn(2, 5)
    assert torch.equal(layer(features, torch.tensor([1, 2])), layer(features))
    assert layer.camera_bias is None
    with pytest.raises(ValueError, match="must be built with cameras"):
        layer.set_cameras(torch.eye(5), torch.zeros(5), {})


@pytest.mark.parametrize(
    "camids", [torch.tensor([1]), torch.tensor([1.0, 2.0]), torch.tensor([[1, 2]]), torch.tensor(3)]
)
def test_cameras_that_do_not_fit_are_refused(camids):
    layer, *_ = filled()
    with pytest.raises(InputError, match="camids must be 2 whole numbers, one an image, got") as caught:
        layer(torch.randn(2, 5), camids)
    assert "\n" not in str(caught.value)


def test_keys_and_devices():
    assert set(filled()[0].state_dict()) == {"weight", "bias", "camera_weight", "camera_bias"}
    assert set(filled(())[0].state_dict()) == {"weight", "bias"}
    layer = filled()[0].half()
    assert (layer.camera_bias.dtype, layer.cameras.dtype) == (torch.float16, torch.int64)


def adapted(cameras=CAMERAS, neck_feat="before"):
    torch.manual_seed(0)
    site = SiteSpec(cameras, "mine") if cameras else None
    model = ReIDModel(replace(SPEC, adapted=True, site=site, neck_feat=neck_feat)).eval()
    if cameras:
        torch.nn.init.normal_(model.embedding_denoiser.camera_weight)
        torch.nn.init.normal_(model.embedding_denoiser.camera_bias)
    return model


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("cameras", [CAMERAS, (5,), ()])
def test_means_of_cameras_come_back_from_a_checkpoint(tmp_path, cameras, ending):
    model, path = adapted(cameras), tmp_path / f"adapted.{ending}"
    save_checkpoint(path, model, Header(model.spec, Preprocessing((64, 32), HALF, HALF)))
    loaded, header = load_checkpoint(path)
    assert header.model.site == (SiteSpec(cameras, "mine") if cameras else None)
    images, camids = torch.randn(4, 3, 64, 32), torch.tensor([7, 5, 2**40, -1])
    assert torch.equal(loaded.embed(images, camids), model.embed(images, camids))
    assert torch.equal(loaded.embed(images), model.embed(images))
    assert torch.equal(loaded.embed(images, camids), loaded.embed(images)) == (not cameras)


def test_a_loaded_model_says_whose_cameras_it_knows(tmp_path, caplog):
    model, path = adapted(), tmp_path / "adapted.pth"
    save_checkpoint(path, model, Header(model.spec, Preprocessing((64, 32), HALF, HALF)))
    with caplog.at_level("INFO", logger="reid"):
        load_model(path)
    assert (
        "has means for 3 cameras of mine, for embed(images, camids); other cameras take the mean of"
        " all, and images without camids the map with one mean" in caplog.text
    )


def test_a_header_of_before_there_were_sites_still_loads(tmp_path):
    model = adapted(())
    header = Header(model.spec, Preprocessing((64, 32), HALF, HALF))
    tree = json.loads(header.as_json())
    assert tree["model"].pop("site", "absent") is None
    path = tmp_path / "old.pth"
    torch.save({"header": json.dumps(tree), "state_dict": model.state_dict()}, path)
    loaded, found = load_checkpoint(path)
    assert found.model == model.spec
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(loaded.embed(images), model.embed(images))


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"cameras": [], "dataset": "x"}, "cameras must be 1 to 1000000 numbers, got 0"),
        ({"cameras": [1, 1], "dataset": "x"}, "cameras must be different numbers"),
        ({"cameras": [-1], "dataset": "x"}, r"cameras must be in 0\.\.2\*\*63 - 1"),
        ({"cameras": [2**63], "dataset": "x"}, r"cameras must be in 0\.\.2\*\*63 - 1"),
        ({"cameras": [1.5], "dataset": "x"}, "cameras"),
        ({"cameras": [1]}, "dataset"),
        ({"cameras": [1, 2], "dataset": "x"}, "camera_bias"),
    ],
)
def test_a_header_with_another_site_is_refused(tmp_path, site, message):
    model = adapted((3,))
    tree = json.loads(Header(model.spec, Preprocessing((64, 32), HALF, HALF)).as_json())
    tree["model"]["site"] = site
    path = tmp_path / "bad.pth"
    torch.save({"header": json.dumps(tree), "state_dict": model.state_dict()}, path)
    with pytest.raises(InputError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_site_needs_an_adapted_model():
    with pytest.raises(InputError, match="adapted must be true where there is a site, got false"):
        replace(SPEC, site=SiteSpec((1,), "x"))


@pytest.mark.parametrize("options", [{}, {"side": SideSpec((7, 0), (0, 1))}])
def test_cameras_may_be_lists_and_arrays(options):
    site = None if options else SiteSpec((7, 0), "mine")
    torch.manual_seed(0)
    model = ReIDModel(replace(SPEC, adapted=site is not None, site=site, **options)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    images, camids = torch.randn(3, 3, 64, 32), [7, -1, 0]
    expected = model.embed(images, torch.tensor(camids))
    assert not torch.allclose(expected, model.embed(images))
    for same in (camids, tuple(camids), np.array(camids), np.array(camids, np.int16)):
        assert torch.equal(model.embed(images, same), expected)
    assert torch.equal(model.embed(images, torch.tensor(camids, dtype=torch.int32)), expected)
    for other in ([7], [7, 0, 1, 2], [[7, 0, 1]], [7.0, 0, 1], [7, None, 0], ["7", "0", "1"], 7, [[7], 0, 1]):
        with pytest.raises(InputError, match="camids must be 3 whole numbers, one an image, got") as caught:
            model.embed(images, other)
        assert "\n" not in str(caught.value)
    for other in ([2**63, 0, 1], [2**70, 0, 1], [True, False, True], torch.tensor([7, 0])):
        with pytest.raises(InputError, match="camids must be 3 whole numbers"):
            model.embed(images, other)


def test_a_model_that_tells_no_cameras_apart_does_not_look_at_them():
    model, images = adapted(()), torch.randn(2, 3, 64, 32)
    assert torch.equal(model.embed(images, "anything"), model.embed(images))

"""Adaptation of whole models to drawn sites: what is fitted is what the adapted model embeds by."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from denoisers import randomise_denoisers
from small import draw_people, small_config

from reid.adaptation import NoiseSettings
from reid.data import iterate, load_dataset
from reid.denoise import fuse_denoisers
from reid.engine.adapt import AdaptSettings, adapt
from reid.engine.build_data import build_adapt_settings, build_evaluator, build_site
from reid.engine.side import table_of
from reid.evaluation import extract_features
from reid.models import (
    DenoiseSpec,
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    SideSpec,
    SiteSpec,
    Training,
    load_checkpoint,
    save_checkpoint,
)
from reid.utils import InputError

pytest.importorskip("faiss")
CPU = torch.device("cpu")
ON = AdaptSettings(NoiseSettings(noise="on", means="one"), "off")
PER_CAMERA = AdaptSettings(NoiseSettings(noise="on", means="camera"), "off")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """48 training images of 12 people by two cameras."""
    return draw_people(tmp_path_factory.mktemp("data") / "people", num_train_ids=12)


def prepare(people, name="vit_micro", **options):
    """A random model, its header, and the site."""
    torch.manual_seed(0)
    spec = ModelSpec(name, (32, 32), 12, **options)
    return with_site(people, ReIDModel(spec).eval())


def with_site(people, model, **options):
    header = Header(model.spec, Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3), **options)
    cfg = small_config(people, people, "TEST.IMS_PER_BATCH", "20")
    return model, header, build_site(cfg, "market1501", people, header, CPU)


def features(model, site, cameras=True):
    batches = iterate(site.images.ordered)
    return extract_features(model, batches, CPU, side_information=cameras, progress=False)


def assert_same_directions(one, other, tolerance=3e-3):
    one, other = (torch.nn.functional.normalize(torch.as_tensor(x).double(), dim=1) for x in (one, other))
    assert (one - other).abs().max() < tolerance


@pytest.mark.parametrize(
    "name", ["vit_micro", "resnet10", pytest.param("osnet_x0_25", marks=pytest.mark.slow)]
)
def test_an_adapted_model_embeds_as_the_denoiser_says(people, name):
    model, header, site = prepare(people, name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    plain = features(model, site)
    found = adapt(model, header, site.images, CPU, PER_CAMERA)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert (model.spec.adapted, found.is_folded, found.batchnorm) == (False, False, False)
    assert found.model.spec.site == SiteSpec((0, 1), "market1501")
    feats, camids = plain.feats.numpy(), plain.camids.numpy()
    denoiser = found.choice.denoiser
    assert_same_directions(features(found.model, site).feats, denoiser.apply(feats, camids))
    assert_same_directions(features(found.model, site, cameras=False).feats, denoiser.apply(feats))
    assert not np.allclose(denoiser.apply(feats), denoiser.apply(feats, camids))


def test_a_reduced_feature_behind_the_neck_is_folded_and_has_plain_keys(people):
    model, header, site = prepare(people, feat_dim=16, neck_feat="after")
    model.neck.running_mean.uniform_(-1, 1)
    model.neck.running_var.uniform_(0.5, 2)
    plain = features(model, site)
    found = adapt(model, header, site.images, CPU, ON)
    assert found.is_folded
    assert list(found.model.state_dict()) == list(model.state_dict())
    assert found.model.spec == model.spec
    denoised = found.choice.denoiser.apply(plain.feats.numpy())
    assert_same_directions(features(found.model, site).feats, denoised)
    again = site.header_of(found)
    assert again.training.stage == "adaptation"
    with pytest.raises(InputError, match="adapted before"):
        adapt(found.model, again, site.images, CPU, ON)


@pytest.mark.parametrize("settings", [replace(ON, fold=False), PER_CAMERA])
def test_where_folding_is_not_wanted_a_layer_lies_behind(people, settings):
    model, header, site = prepare(people, feat_dim=16, neck_feat="after")
    found = adapt(model, header, site.images, CPU, settings)
    assert not found.is_folded
    assert found.model.embedding_denoiser is not None


def test_a_model_is_adapted_once(people):
    found = adapt(*with_images(prepare(people)), CPU, ON)
    header = Header(found.model.spec, Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3))
    site = prepare(people)[2]
    with pytest.raises(InputError, match="was adapted before; adapt the one that it came from"):
        adapt(found.model, header, site.images, CPU, ON)


def with_images(prepared):
    model, header, site = prepared
    return model, header, site.images


@pytest.mark.parametrize(
    "targets",
    [
        ("mlp",),
        pytest.param(("all",), marks=pytest.mark.slow),
        pytest.param(("feature",), marks=pytest.mark.slow),
    ],
)
def test_denoisers_in_the_network_go_together_with_the_adaptation(people, tmp_path, targets):
    torch.manual_seed(0)
    spec = DenoiseSpec(targets=targets)
    model = randomise_denoisers(spec.attach(ReIDModel(ModelSpec("vit_micro", (32, 32), 12)).eval()))
    model, header, site = with_site(people, model, denoise=spec, state="attached")
    found = adapt(model, header, site.images, CPU, PER_CAMERA)
    save_checkpoint(tmp_path / "a.pth", found.model, site.header_of(found))
    loaded, again = load_checkpoint(tmp_path / "a.pth")
    assert (again.state, again.denoise) == ("attached", spec)
    assert torch.equal(features(loaded, site).feats, features(found.model, site).feats)
    plain = features(model, site)
    denoised = found.choice.denoiser.apply(plain.feats.numpy(), plain.camids.numpy())
    assert_same_directions(features(loaded, site).feats, denoised)


def test_a_fused_model_is_adapted_like_a_plain_one(people, tmp_path):
    torch.manual_seed(0)
    attached = DenoiseSpec().attach(ReIDModel(ModelSpec("vit_micro", (32, 32), 12)).eval())
    attached = randomise_denoisers(attached)
    model, header, site = with_site(people, fuse_denoisers(attached), denoise=DenoiseSpec(), state="fused")
    found = adapt(model, header, site.images, CPU, PER_CAMERA)
    save_checkpoint(tmp_path / "a.pth", found.model, site.header_of(found))
    loaded, again = load_checkpoint(tmp_path / "a.pth")
    assert again.state == "fused"
    assert torch.equal(features(loaded, site).feats, features(found.model, site).feats)
    # The order does not matter: an adapted model whose denoisers are fused then embeds alike.
    late = adapt(attached, header, site.images, CPU, PER_CAMERA).model
    assert_same_directions(features(fuse_denoisers(late), site).feats, features(late, site).feats)


def test_a_model_with_side_information_of_these_cameras_is_given_them(people, caplog):
    model, header, site = prepare(people, side=SideSpec((0, 1), dataset="market1501"))
    torch.nn.init.normal_(model.backbone.side.embed)
    plain = features(model, site)
    found = adapt(model, header, site.images, CPU, PER_CAMERA)
    assert "no cameras are given" not in caplog.text
    assert found.model.spec.site == SiteSpec((0, 1), "market1501")
    denoised = found.choice.denoiser.apply(plain.feats.numpy(), plain.camids.numpy())
    assert_same_directions(features(found.model, site).feats, denoised)


@pytest.mark.parametrize("dataset", ["msmt17", ""])
def test_a_model_with_side_information_of_other_cameras_has_one_mean(people, dataset):
    model, header, site = prepare(people, side=SideSpec((0, 1), dataset=dataset))
    automatic = AdaptSettings(NoiseSettings(noise="on"), "off")
    found = adapt(model, header, site.images, CPU, automatic)
    assert found.model.spec.site is None
    assert not any(c.setting.mean_per_camera for c in found.choice.candidates)
    with pytest.raises(InputError, match=f"of {dataset or 'an unknown data set'}; set ADAPT.MEANS one"):
        adapt(model, header, site.images, CPU, PER_CAMERA)


@pytest.mark.slow
def test_statistics_are_estimated_anew_where_asked_for_and_judged_where_not(people):
    model, header, site = prepare(people, "resnet10")
    on = adapt(model, header, site.images, CPU, replace(ON, batchnorm="on"))
    assert on.batchnorm
    assert not torch.equal(on.model.backbone.bn1.running_mean, model.backbone.bn1.running_mean)
    off = adapt(model, header, site.images, CPU, ON)
    assert (off.batchnorm, off.batchnorm_judgement) == (False, None)
    auto = adapt(model, header, site.images, CPU, replace(ON, batchnorm="auto"))
    assert auto.batchnorm_judgement == on.batchnorm_judgement
    assert auto.batchnorm == auto.batchnorm_judgement.is_clearly_better
    # Without cameras nothing tells whether they help, and a model without them has none to estimate.
    neighbours = AdaptSettings(NoiseSettings(pairs="neighbours"), "auto")
    assert adapt(model, header, site.images, CPU, neighbours).batchnorm_judgement is None
    assert adapt(*with_images(prepare(people)), CPU, replace(ON, batchnorm="auto")).batchnorm is False


def test_on_images_of_the_training_only_careful_settings_are_tried(people):
    model, header, site = prepare(people, "resnet10")
    trained = Training(site.images.title, "train", 48, 12, 2, "baseline", 5)
    found = adapt(model, replace(header, training=trained), site.images, CPU, AdaptSettings())
    assert found.familiar
    assert found.batchnorm_judgement is None
    assert {c.setting.shrinkage for c in found.choice.candidates} == {3, 10}
    assert not any(c.setting.mean_per_camera for c in found.choice.candidates)
    assert found.as_text().startswith("warning: these images look like those")


def test_nothing_asked_for_leaves_the_model_and_its_header(people):
    model, header, site = prepare(people)
    found = adapt(model, header, site.images, CPU, AdaptSettings(NoiseSettings(noise="off"), "off"))
    assert found.model is model
    assert site.header_of(found) == header
    assert "camera noise: left alone, not asked for" in found.as_text()
    assert found.as_dict()["chosen"] is None


def test_tracklets_take_the_identities_as_their_numbers(people):
    model, header, site = prepare(people)
    found = adapt(model, header, site.images, CPU, AdaptSettings(NoiseSettings(pairs="tracklets"), "off"))
    # Twelve people have four images each, so two pairs.
    assert found.choice.denoiser.num_pairs == 24
    assert "pairs of one tracklet" in found.as_text()
    assert "tracklets as the only labels" in site.compare(model, found).as_text()


def test_means_of_cameras_are_used_on_their_own_set_and_nowhere_else(people, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    model, header, site = prepare(people)
    found = adapt(model, header, site.images, CPU, PER_CAMERA)
    save_checkpoint(tmp_path / "a.pth", found.model, site.header_of(found))
    loaded, _ = load_checkpoint(tmp_path / "a.pth")
    cfg, dataset = small_config(people, tmp_path), load_dataset("market1501", people)
    same = build_evaluator(cfg, dataset, header.preprocessing, CPU, "words")
    other = build_evaluator(cfg, replace(dataset, name="msmt17"), header.preprocessing, CPU, "words")
    plain = same.extract(model)
    caplog.clear()
    own = same.extract(loaded)
    assert caplog.text == ""
    denoiser = found.choice.denoiser
    feats, camids = plain.feats.numpy(), plain.camids.numpy()
    assert_same_directions(own.feats, denoiser.apply(feats, camids))
    assert_same_directions(other.extract(loaded).feats, denoiser.apply(feats))
    expected = (
        "the adaptation's means are of the cameras of market1501: images of msmt17 take one mean for all;"
        " put all images of one site into one list, whose split column tells them apart, or pass camids"
        " to embed"
    )
    assert expected in caplog.text
    compared = site.compare(model, found)
    assert compared.results["adapted"].as_dict() == same.evaluate(own).as_dict()
    untold = compared.results["adapted, cameras not told"]
    assert untold.as_dict() == other.evaluate(other.extract(loaded)).as_dict()
    assert table_of(loaded.spec) == SiteSpec((0, 1), "market1501")


def test_words_of_the_configuration_are_settings(people):
    default = build_adapt_settings(small_config(people, people))
    assert default == AdaptSettings(NoiseSettings("auto", "cameras", None, None, "auto"), "auto", True)
    words = {"NOISE": "on", "PAIRS": "cameras", "K": "3", "SHRINKAGE": "1.5", "MEANS": "camera"}
    words |= {"BATCHNORM": "off", "FOLD": "False"}
    given = [word for key, value in words.items() for word in (f"ADAPT.{key}", value)]
    found = build_adapt_settings(small_config(people, people, *given))
    assert found == AdaptSettings(NoiseSettings("on", "cameras", 3, 1.5, "camera"), "off", False)


@pytest.mark.parametrize(
    ("column", "numbers", "pairs", "message"),
    [
        ("camids", -1, "cameras", "no image has one; give them"),
        ("camids", 0, "cameras", "at least two cameras, got 1"),
        ("pids", -1, "tracklets", "no tracklet has two images"),
        ("camids", None, "neighbours", "at least two images, got 1"),
    ],
)
def test_images_that_give_no_pair_are_refused_before_one_is_read(people, column, numbers, pairs, message):
    model, header, site = prepare(people)
    records = site.images.records
    if numbers is None:
        records = records.select(np.arange(1))
    else:
        records = replace(records, **{column: np.full(len(records), numbers)})
    nothing = replace(site.images, records=records, ordered=None, shuffled=None)
    with pytest.raises(InputError, match=message) as caught:
        adapt(model, header, nothing, CPU, AdaptSettings(NoiseSettings(pairs=pairs)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "neck_feat", "passes"),
    [("vit_micro", "before", 0), ("vit_micro", "after", 1), ("resnet10", "before", 1)],
)
def test_statistics_that_the_feature_does_not_read_cost_no_pass(people, name, neck_feat, passes, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "reid.engine.adapt.reestimate_batchnorm", lambda model, batches: seen.append(batches) or model
    )
    model, header, site = prepare(people, name, neck_feat=neck_feat)
    settings = AdaptSettings(NoiseSettings(noise="off"))
    adapt(model, header, site.images, CPU, settings)
    assert len(seen) == passes
    if not passes:
        with pytest.raises(InputError, match=r"this model's reads none; set ADAPT\.BATCHNORM off"):
            adapt(model, header, site.images, CPU, replace(settings, batchnorm="on"))


def test_single_images_leave_the_statistics_unless_they_are_asked_for(people, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    caplog.set_level("INFO")
    model, header, _ = prepare(people, "resnet10")
    cfg = small_config(people, people, "TEST.IMS_PER_BATCH", "1")
    site = build_site(cfg, "market1501", people, header, CPU)
    off = NoiseSettings(noise="off")
    assert adapt(model, header, site.images, CPU, AdaptSettings(off)).model is model
    assert "no batch has two images (TEST.IMS_PER_BATCH 1)" in caplog.text
    with pytest.raises(InputError, match=r"raise TEST\.IMS_PER_BATCH, or set"):
        adapt(model, header, site.images, CPU, AdaptSettings(off, "on"))

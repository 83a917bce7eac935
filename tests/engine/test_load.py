import logging

import pytest
import torch
from small import small_config

from reid.engine.load import load_baseline, load_for_test
from reid.models import DenoiseSpec, Header, ModelSpec, Preprocessing, ReIDModel, save_checkpoint
from reid.utils import InputError

PREPROCESSING = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def weights(tmp_path):
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), 3))
    attached = DenoiseSpec().attach(model)
    path = tmp_path / "denoised.pth"
    save_checkpoint(path, attached, Header(model.spec, PREPROCESSING, DenoiseSpec(), "attached"))
    return path


def test_without_a_baseline_the_denoisers_are_taken_out(weights, tmp_path):
    cfg = small_config(tmp_path, tmp_path)
    model, _ = load_for_test(cfg, weights)
    baseline, source = load_baseline(cfg, model, weights, None)
    assert source.endswith("without its denoisers")
    assert not any("denoiser" in key for key in baseline.state_dict())


def test_the_neck_feature_is_the_configurations(weights, tmp_path):
    cfg = small_config(tmp_path, tmp_path, "TEST.NECK_FEAT", "after")
    assert load_for_test(cfg, weights)[0].spec.neck_feat == "after"


def test_another_backbone_is_refused(weights, tmp_path):
    cfg = small_config(tmp_path, tmp_path, "MODEL.NAME", "resnet10")
    with pytest.raises(
        InputError, match=r"holds vit_micro, MODEL\.NAME says resnet10; .* pass MODEL\.NAME vit"
    ):
        load_for_test(cfg, weights)


def test_other_preprocessing_is_named(weights, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    cfg = small_config(tmp_path, tmp_path, "INPUT.PIXEL_MEAN", "[0.4, 0.4, 0.4]")
    with caplog.at_level("INFO", logger="reid"):
        load_for_test(cfg, weights)
    expected = f"images are prepared as {weights} says: mean (0.5, 0.5, 0.5) instead of (0.4, 0.4, 0.4)"
    assert expected in caplog.text


def test_a_state_dict_alone_is_read_into_the_configurations_model(tmp_path):
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), 3))
    torch.save(model.state_dict(), tmp_path / "plain.pth")
    loaded, header = load_for_test(small_config(tmp_path, tmp_path), tmp_path / "plain.pth")
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in loaded.state_dict().items())
    assert header.training is None


def save_plain(path, size=(32, 32), mean=(0.5, 0.5, 0.5)):
    spec = ModelSpec("vit_micro", size, 3)
    save_checkpoint(path, ReIDModel(spec), Header(spec, Preprocessing(size, mean, (0.5, 0.5, 0.5))))


def test_a_baseline_of_the_same_preprocessing_is_taken(weights, tmp_path):
    cfg = small_config(tmp_path, tmp_path)
    save_plain(tmp_path / "b.pth")
    model, _ = load_for_test(cfg, weights)
    baseline, source = load_baseline(cfg, model, weights, tmp_path / "b.pth")
    assert source == str(tmp_path / "b.pth")
    assert baseline.spec.image_size == (32, 32)


@pytest.mark.parametrize("name", ["named.pth", "baseline.pth"])
@pytest.mark.parametrize("other", [{"size": (64, 32)}, {"mean": (0.4, 0.5, 0.5)}])
def test_a_baseline_that_wants_other_images_is_refused(weights, tmp_path, other, name):
    """Named, or found beside the model."""
    cfg = small_config(tmp_path, tmp_path)
    save_plain(tmp_path / name, **other)
    model, _ = load_for_test(cfg, weights)
    named = tmp_path / name if name == "named.pth" else None
    with pytest.raises(InputError, match=f"baseline and model must see the same images: .*{name} wants"):
        load_baseline(cfg, model, weights, named)


def test_a_baseline_with_denoisers_is_refused(weights, tmp_path):
    cfg = small_config(tmp_path, tmp_path)
    model, _ = load_for_test(cfg, weights)
    with pytest.raises(InputError, match=r"must have no denoisers, .*denoised\.pth has them"):
        load_baseline(cfg, model, weights, weights)


def test_a_file_is_read_once(weights, tmp_path, monkeypatch):
    reads, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: reads.append(1) or load(*args, **options))
    load_for_test(small_config(tmp_path, tmp_path), weights)
    torch.save(ReIDModel(ModelSpec("vit_micro", (32, 32), 3)).state_dict(), tmp_path / "plain.pth")
    load_for_test(small_config(tmp_path, tmp_path), tmp_path / "plain.pth")
    assert len(reads) == 2


def test_a_fused_model_has_the_baseline_beside_it(tmp_path):
    cfg = small_config(tmp_path, tmp_path)
    save_plain(tmp_path / "fused.pth")
    save_plain(tmp_path / "baseline.pth")
    model, _ = load_for_test(cfg, tmp_path / "fused.pth")
    assert load_baseline(cfg, model, tmp_path / "fused.pth", None)[0] is None
    baseline, source = load_baseline(cfg, model, tmp_path / "fused.pth", None, is_fused=True)
    assert source == str(tmp_path / "baseline.pth")
    assert baseline is not None


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["MODEL.REDUCE_FEAT_DIM", "True"], r"reduction\.weight"),
        (["TEST.NECK_FEAT", "after"], r"neck\.weight"),
    ],
)
def test_what_a_file_lacks_is_not_evaluated_at_random(tmp_path, words, key):
    state = ReIDModel(ModelSpec("vit_micro", (32, 32), 3)).state_dict()
    torch.save({k: v for k, v in state.items() if k.startswith("backbone.")}, tmp_path / "plain.pth")
    with pytest.raises(InputError, match=f"lacks .* keys of what the configuration evaluates, such as {key}"):
        load_for_test(small_config(tmp_path, tmp_path, *words), tmp_path / "plain.pth")
    load_for_test(small_config(tmp_path, tmp_path), tmp_path / "plain.pth")


def test_an_adapted_model_keeps_the_feature_that_it_was_adapted_on(tmp_path):
    spec = ModelSpec("vit_micro", (32, 32), 3, adapted=True)
    save_checkpoint(tmp_path / "adapted.pth", ReIDModel(spec), Header(spec, PREPROCESSING))
    with pytest.raises(InputError, match=r"before the neck, TEST\.NECK_FEAT is after"):
        load_for_test(small_config(tmp_path, tmp_path, "TEST.NECK_FEAT", "after"), tmp_path / "adapted.pth")

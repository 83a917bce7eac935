"""Jigsaw branches with side information, and CLIP with texts: through the same trainer as everything else."""

import json
import logging
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import draw_people, small_config, small_words

from reid.config import load_config
from reid.data import load_dataset
from reid.engine.build import build_run
from reid.engine.build_data import build_side_spec
from reid.engine.side import knows_cameras_of, log_unknown
from reid.models import (
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    SideSpec,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from reid.models.text_features import save_text_features
from reid.utils import InputError
from reid.utils.cli import run_tool

TOOLS = Path(__file__).parents[2] / "tools"
JIGSAW = ["MODEL.JPM", "True", "MODEL.SIE_CAMERA", "True", "MODEL.STRIDE_SIZE", "[6, 6]"]
ONE_EPOCH = ["SOLVER.MAX_EPOCHS", "1", "DENOISE.MAX_EPOCHS", "1"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def jigsaw_words(people, tmp_path_factory):
    return small_words(people, tmp_path_factory.mktemp("runs") / "jigsaw", *JIGSAW, *ONE_EPOCH)


@pytest.fixture(scope="module")
def jigsaw_run(jigsaw_words):
    run = build_run(load_config(None, jigsaw_words))
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    run.run()
    return run, before


@pytest.mark.slow
def test_jigsaw_branches_with_cameras_train_in_every_part(jigsaw_run):
    run, before = jigsaw_run
    model, header = load_checkpoint(run.folder.path / "baseline.pth")
    assert header.model.side == SideSpec((0, 1), (), 3.0, "market1501")
    assert header.model.patch_stride == (6, 6)
    after = dict(model.named_parameters())
    for part in ("side.embed", "global_branch.0.mlp.fc1.weight", "local_branch.0.mlp.fc1.weight"):
        assert not torch.equal(after[f"backbone.{part}"], before[f"backbone.{part}"])
    for i in range(4):
        assert not torch.equal(after[f"part_classifiers.{i}.weight"], before[f"part_classifiers.{i}.weight"])
    assert model.embed(torch.randn(2, 3, 32, 32)).shape == (2, 5 * 128)


@pytest.mark.slow
def test_jigsaw_branches_are_denoised_and_fused_by_the_same_run(jigsaw_run):
    run, _ = jigsaw_run
    unfused, fused = (load_model(run.folder.path / f"{name}.pth") for name in ("denoised", "fused"))
    images, cameras = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    torch.testing.assert_close(
        fused.embed(images, cameras), unfused.embed(images, cameras), rtol=1e-4, atol=1e-4
    )
    assert "backbone.local_branch.0.mlp.fc1.denoiser.weight" in unfused.state_dict()


@pytest.mark.slow
def test_the_table_of_a_run_with_jigsaw_and_cameras(jigsaw_run, jigsaw_words, monkeypatch, capsys, tmp_path):
    folder = jigsaw_run[0].folder.path
    words = [*jigsaw_words, "OUTPUT_DIR", str(tmp_path)]
    arguments = ["--config", "demo.yml", "--weights", folder / "denoised.pth", "--json", tmp_path / "r.json"]
    monkeypatch.setattr(sys, "argv", ["test.py", *map(str, arguments), *words])
    assert run_tool(runpy.run_path(str(TOOLS / "test.py"))["main"]) == 0, capsys.readouterr().err
    models = json.loads((tmp_path / "r.json").read_text())["models"]
    assert list(models) == ["baseline", "+ DenoiseRep unfused", "+ DenoiseRep fused"]


@pytest.mark.slow
@torch.no_grad()
def test_a_camera_that_was_not_trained_on_takes_the_mean_embedding(jigsaw_run):
    model = load_model(jigsaw_run[0].folder.path / "baseline.pth")
    images = torch.randn(3, 3, 32, 32)
    unknown = model.embed(images, torch.tensor([-1, 7, 7]))
    torch.testing.assert_close(unknown, model.embed(images))
    assert not torch.allclose(unknown, model.embed(images, torch.tensor([0, 1, 0])))
    table = model.backbone.side.embed
    table.copy_(table.mean(0, keepdim=True).expand_as(table))
    torch.testing.assert_close(unknown, model.embed(images, torch.tensor([0, 1, 0])))


@pytest.mark.slow
def test_denoising_without_labels_keeps_the_cameras_of_the_weights(jigsaw_run, people, tmp_path):
    weights = jigsaw_run[0].folder.path / "baseline.pth"
    words = [*JIGSAW[:2], *JIGSAW[4:], "SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(weights)]
    run = build_run(small_config(people, tmp_path / "run", *words))
    embed = run.model.backbone.side.embed
    assert torch.equal(embed, load_model(weights).backbone.side.embed)


def test_texts_draw_the_projected_features(people, tmp_path):
    torch.manual_seed(0)
    texts = torch.nn.functional.normalize(torch.randn(8, 64))
    save_text_features(tmp_path / "texts.pth", texts, torch.zeros(8, 4, 16), "a photo")
    words = ["MODEL.NAME", "clip_vit_micro", "MODEL.TEXT_FEATURES", str(tmp_path / "texts.pth")]
    run = build_run(small_config(people, tmp_path / "run", *words, *ONE_EPOCH))
    run.run()
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["image_text"] > 0
    assert rows[0]["loss"] == pytest.approx(
        sum(rows[0][k] for k in ("id", "triplet", "image_text")), rel=1e-4
    )


def test_texts_for_a_network_without_a_place_for_them_are_refused(people, tmp_path):
    with pytest.raises(InputError, match=r"MODEL.TEXT_FEATURES needs a CLIP backbone, .* vit_micro"):
        build_run(small_config(people, tmp_path / "run", "MODEL.TEXT_FEATURES", "texts.pth"))


def test_cameras_of_two_sets_or_of_one_camera_are_refused_with_the_key(people, tmp_path):
    cfg = small_config(people, tmp_path, "MODEL.SIE_CAMERA", "True")
    dataset = load_dataset("market1501", people)
    merged = replace(dataset, train_rule="merged")
    with pytest.raises(InputError, match=r"MODEL.SIE_CAMERA needs a single training set"):
        build_side_spec(cfg, merged)
    single = replace(dataset.train, camids=np.zeros(len(dataset.train), np.int64))
    with pytest.raises(
        InputError, match=r"MODEL.SIE_CAMERA needs training images of 2 to 10000 cameras, .* 1;"
    ):
        build_side_spec(cfg, replace(dataset, train=single))
    views = small_config(people, tmp_path, "MODEL.SIE_VIEW", "True")
    with pytest.raises(InputError, match=r"MODEL.SIE_VIEW needs training images of 2 to 10000 views"):
        build_side_spec(views, dataset)


def test_cameras_and_views_of_the_training_images_are_the_rows(people, tmp_path):
    cfg = small_config(people, tmp_path, "MODEL.SIE_CAMERA", "True", "MODEL.SIE_VIEW", "True")
    dataset = load_dataset("market1501", people)
    views = np.arange(len(dataset.train)) % 4 - 1
    records = replace(dataset.train, viewids=views)
    side = build_side_spec(cfg, replace(dataset, train=records))
    assert side == SideSpec((0, 1), (0, 1, 2), 3.0, "market1501")
    assert build_side_spec(small_config(people, tmp_path), dataset) is None


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (None, False),
        (SideSpec((0, 1), dataset="mine"), True),
        (SideSpec((0, 1)), True),
        (SideSpec((0, 1), dataset="msmt17"), False),
    ],
)
def test_cameras_belong_to_a_data_set(side, expected):
    assert knows_cameras_of(side, "mine") is expected


@pytest.mark.parametrize(
    ("known", "expected"), [("/n1/site.csv", True), ("/n3/site.csv", False), ("site.csv", True)]
)
def test_cameras_belong_to_a_list_not_to_its_file_name_but_in_older_checkpoints(known, expected):
    assert knows_cameras_of(SideSpec((0, 1), dataset=known), "/n1/site.csv") is expected


def test_the_log_counts_images_whose_camera_is_not_in_the_table(people, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    records = load_dataset("market1501", people).test
    log_unknown(SideSpec((0,), (3,), dataset="market1501"), "market1501", records)
    count = int((records.camids != 0).sum())
    assert f"{count} of {len(records)} images take the mean embedding: their camera is not" in caplog.text
    assert f"{len(records)} of {len(records)} images take the mean embedding: their view" in caplog.text
    caplog.clear()
    log_unknown(SideSpec((0, 1), dataset="msmt17"), "market1501", records)
    assert "of the cameras of msmt17: images of market1501 take the mean embedding" in caplog.text
    caplog.clear()
    for folder, whose, whom in (
        ("a", "site.csv", "other.csv"),
        ("a/other", "/a/other/site.csv", "/a/site.csv"),
    ):
        name = "/a/other.csv" if folder == "a" else "/a/site.csv"
        log_unknown(SideSpec((0, 1), dataset=f"/{folder}/site.csv"), name, records)
        assert f"of the cameras of {whose}: images of {whom} take the mean embedding; put all" in caplog.text
        caplog.clear()
    log_unknown(SideSpec((0, 1), dataset="market1501"), "market1501", records)
    log_unknown(None, "market1501", records)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("words", "differing"),
    [
        (["MODEL.GEM_POOLING", "True"], "gem"),
        (["MODEL.JPM", "True", "MODEL.SHIFT_NUM", "3"], "jigsaw"),
        (["MODEL.REDUCE_FEAT_DIM", "True"], "feat_dim"),
    ],
)
def test_a_network_that_is_only_denoised_must_be_the_one_of_its_weights(people, tmp_path, words, differing):
    spec = ModelSpec("vit_micro", (32, 32), 8)
    preprocessing = Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3)
    save_checkpoint(tmp_path / "plain.pth", ReIDModel(spec), Header(spec, preprocessing))
    start = ["SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(tmp_path / "plain.pth")]
    with pytest.raises(InputError, match=f"{differing} differ; set MODEL.NAME vit_micro"):
        build_run(small_config(people, tmp_path / "run", *words, *start))
    build_run(small_config(people, tmp_path / "run", *start))

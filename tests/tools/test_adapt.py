"""Adaptation on the command line: a checkpoint and a table, or one line and nothing."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peers import SHARED
from small import SIZE, draw_people

from reid.adaptation import load_denoiser
from reid.models import (
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    SiteSpec,
    load_checkpoint,
    save_checkpoint,
)
from reid.utils.cli import run_tool

pytest.importorskip("faiss")
ROOT = Path(__file__).parents[2]
HALF = (0.5, 0.5, 0.5)
EVALUATED = [*SIZE, "DATASETS.NAMES", "('market1501',)"]


def tool(name):
    spec = importlib.util.spec_from_file_location(f"{name}_tool", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words, name="adapt"):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        try:
            code = run_tool(tool(name).main)
        except SystemExit as leave:
            code = leave.code
        printed = capsys.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    return call


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A drawn site, and a model with random weights."""
    folder = tmp_path_factory.mktemp("site")
    draw_people(folder / "data", num_train_ids=12)
    torch.manual_seed(0)
    spec = ModelSpec("vit_micro", (32, 32), 4)
    model = ReIDModel(spec).eval()
    save_checkpoint(folder / "model.pth", model, Header(spec, Preprocessing((32, 32), HALF, HALF)))
    return folder


def words(site, out, *more):
    paths = ["--weights", site / "model.pth", "--images", "market1501", "--root", site / "data", "--out", out]
    return [*paths, "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", *more]


def test_help_says_what_it_is_for(run):
    result = run("--help")
    assert result.code == 0
    for word in ("--weights", "--images", "--features", "--denoise", "--out", "ADAPT.K", "example:"):
        assert word in result.out


def test_a_site_gives_a_checkpoint_a_table_and_figures(run, site, tmp_path):
    out, figures = tmp_path / "adapted.pth", tmp_path / "figures.json"
    asked = ["ADAPT.NOISE", "on", "ADAPT.K", "3", "ADAPT.BATCHNORM", "off", "ADAPT.MEANS", "camera"]
    result = run(*words(site, out, *asked, "--json", figures))
    assert result.code == 0, result.err
    assert "BatchNorm statistics: as they were" in result.out
    assert "in the checkpoint: one linear layer behind it" in result.out
    assert "95 % interval" in result.out
    assert f"wrote {out}" in result.out
    header = load_checkpoint(out)[1]
    assert header.model.adapted
    assert header.model.site == SiteSpec((0, 1), "market1501")
    assert header.training.stage == "adaptation"
    found = json.loads(figures.read_text())
    assert (found["batchnorm"], found["denoised"], found["folded"]) == (False, True, False)
    assert (found["num_images"], found["num_cameras"]) == (48, 2)
    assert found["num_pairs"] > 0
    assert found["chosen"]["k"] == 3
    assert found["chosen"]["mean_per_camera"] is True
    assert [c["shrinkage"] for c in found["candidates"]] == [1, 3, 10]
    assert set(found["models"]) == {"before", "adapted", "adapted, cameras not told"}
    assert set(found["mAP_differences"]) == {"adapted", "adapted, cameras not told"}
    assert "adapted to" in found["models"]["adapted"]["protocol"]

    # tools/test.py computes the same figures, with the cameras of this set.
    paths = ["--config", "demo.yml", "--weights", out, "--json", tmp_path / "tested.json", "--no-pictures"]
    same = ["MODEL.NAME", "vit_micro", "DATASETS.ROOT_DIR", site / "data", "OUTPUT_DIR", tmp_path / "run"]
    tested = run(*paths, *same, "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0", *EVALUATED, name="test")
    assert tested.code == 0, tested.err
    (result,) = json.loads((tmp_path / "tested.json").read_text())["models"].values()
    assert result["mAP"] == pytest.approx(found["models"]["adapted"]["mAP"], abs=1e-9)
    assert "take the mean" not in tested.err

    again = run("--weights", out, *words(site, tmp_path / "twice.pth")[2:])
    assert again.code == 2
    assert "adapted before" in again.err
    assert not (tmp_path / "twice.pth").exists()


@pytest.mark.parametrize(
    ("fold", "words_of_it"), [("True", "folded into the network's"), ("False", "behind it")]
)
def test_a_reduced_feature_behind_the_neck_folds_unless_told_not_to(run, site, tmp_path, fold, words_of_it):
    torch.manual_seed(0)
    spec = ModelSpec("vit_micro", (32, 32), 4, feat_dim=16, neck_feat="after")
    model, out = ReIDModel(spec).eval(), tmp_path / "adapted.pth"
    save_checkpoint(tmp_path / "reduced.pth", model, Header(spec, Preprocessing((32, 32), HALF, HALF)))
    options = ["--weights", tmp_path / "reduced.pth", "ADAPT.NOISE", "on", "ADAPT.FOLD", fold]
    result = run(*words(site, out, *options))
    assert result.code == 0, result.err
    assert words_of_it in result.out
    adapted, header = load_checkpoint(out)
    assert header.model.adapted is (fold == "False")
    assert (list(adapted.state_dict()) == list(model.state_dict())) is (fold == "True")
    again = run("--weights", out, *words(site, tmp_path / "twice.pth")[2:])
    assert (again.code, "adapted before" in again.err) == (2, True)


def test_without_cameras_pairs_are_any_neighbours(run, site, tmp_path):
    listing = site / "unknown.csv"
    names = sorted(path.relative_to(site) for path in (site / "data" / "bounding_box_train").glob("*.jpg"))
    listing.write_text("path\n" + "".join(f"{name}\n" for name in names))
    options = ["--weights", site / "model.pth", "--images", listing, "--out", tmp_path / "a.pth"]
    options += ["MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0"]
    refused = run(*options)
    assert refused.code == 2
    assert "no image has one; give them (a camid column)" in refused.err.splitlines()[-1]
    assert not (tmp_path / "a.pth").exists()
    done = run(*options, "ADAPT.PAIRS", "neighbours")
    assert done.code == 0, done.err
    assert "pairs of neighbours of any camera, among 48 images of unknown cameras" in done.out
    assert load_checkpoint(tmp_path / "a.pth")[1].model.adapted


def test_features_of_any_project_are_denoised(run, tmp_path):
    rng = np.random.default_rng(0)
    people = rng.normal(size=(60, 8))
    features = np.concatenate([people, people + rng.normal(size=people.shape) * (np.arange(8) < 2)])
    camids, pids = np.repeat([0, 1], 60), np.tile(np.arange(60), 2)
    for name, rows in (("site", slice(None)), ("query", slice(0, 60)), ("gallery", slice(60, 120))):
        columns = {"features": features[rows].astype(np.float32), "pids": pids[rows], "camids": camids[rows]}
        np.savez(tmp_path / f"{name}.npz", **columns)
    out, figures = tmp_path / "denoiser.npz", tmp_path / "figures.json"
    pairs = ["--denoise", tmp_path / "query.npz", tmp_path / "q.npz"]
    pairs += ["--denoise", tmp_path / "gallery.npz", tmp_path / "g.npz"]
    options = ["--features", tmp_path / "site.npz", "--out", out, *pairs, "--json", figures]
    result = run(*options, "ADAPT.NOISE", "on")
    assert result.code == 0, result.err
    assert f"wrote {out}" in result.out
    assert json.loads(figures.read_text())["denoised"] is True
    denoiser = load_denoiser(out)
    by_hand = {}
    for source, target in (("query", "q"), ("gallery", "g")):
        with np.load(tmp_path / f"{source}.npz") as before, np.load(tmp_path / f"{target}.npz") as after:
            by_hand[source] = denoiser.apply(before["features"], before["camids"])
            np.testing.assert_array_equal(after["features"], by_hand[source])
    evaluated = run(
        *("--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz", "--json", figures), name="evaluate"
    )
    assert evaluated.code == 0, evaluated.err
    nearest = (by_hand["query"] @ by_hand["gallery"].T).argmax(axis=1)
    assert f"{100 * np.mean(nearest == np.arange(60)):.1f}" in evaluated.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["ADAPT.K", "-1"], "ADAPT.K"),
        (["ADAPT.K", "101"], "ADAPT.K"),
        (["ADAPT.SHRINKAGE", "-1"], "ADAPT.SHRINKAGE"),
        (["ADAPT.SHRINKAGE", "nan"], "ADAPT.SHRINKAGE"),
        (["ADAPT.PAIRS", "people"], "ADAPT.PAIRS must be one of 'cameras', 'tracklets', 'neighbours'"),
        (["ADAPT.NOISE", "True"], "ADAPT.NOISE"),
        (["ADAPT.MEANS", "both"], "ADAPT.MEANS must be one of 'auto', 'one', 'camera'"),
        (["ADAPT.BATCHNORM", "yes"], "ADAPT.BATCHNORM must be one of"),
        (["ADAPT.FOLD", "1"], "ADAPT.FOLD"),
        (["ADAPT.SHRINKAGE", "1e-4"], "ADAPT.SHRINKAGE"),
        (["ADAPT.MEANS", "camera", "ADAPT.PAIRS", "tracklets"], "pairs are tracklets; use one mean"),
        (["TEST.IMS_PER_BATCH", "0"], "TEST.IMS_PER_BATCH"),
        (["MODEL.DEVICE", "tpu"], "the device must be auto, cpu"),
        (["--images", "nothing.csv"], "nothing.csv"),
        (["--features", "f.npz"], "name --weights and --images, or --features, with --denoise if you like"),
        (["--denoise", "a.npz", "b.npz"], "name --weights and --images, or --features"),
        (["--batchnorm", "on"], "unrecognized arguments"),
        (["--config", "nothing.yml"], "nothing.yml"),
    ],
)
def test_wrong_usage_is_one_line_and_nothing_is_written(run, site, tmp_path, more, message):
    result = run(*words(site, tmp_path / "a.pth", *more))
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def test_statistics_of_features_are_refused(run, tmp_path):
    result = run("--features", tmp_path / "f.npz", "--out", tmp_path / "d.npz", "ADAPT.BATCHNORM", "on")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "ADAPT.BATCHNORM on needs a model" in result.err


def test_where_nothing_is_changed_everything_says_so(run, site, tmp_path):
    out, figures = tmp_path / "same.pth", tmp_path / "figures.json"
    result = run(*words(site, out, "ADAPT.NOISE", "off", "ADAPT.BATCHNORM", "off", "--json", figures))
    assert result.code == 0, result.err
    assert "not adapted: the model stays as it was" in result.out
    assert "adapted to" not in result.out
    found = json.loads(figures.read_text())
    assert set(found["models"]) == {"before", "unchanged"}
    assert found["mAP_difference"]["difference"] == 0
    assert list(found)[-1] == "noise_spectrum"


@pytest.mark.parametrize("given", [[], ["--weights", "w.pth"], ["--images", "i.csv"]])
def test_half_of_what_is_needed_is_refused(run, tmp_path, given):
    result = run(*given, "--out", tmp_path / "a.pth")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "name --weights and --images, or --features" in result.err


def test_neither_weights_nor_list_nor_output_are_overwritten(run, site, tmp_path):
    listing = tmp_path / "site.csv"
    listing.write_text("path,camid\n")
    out = tmp_path / "out.pth"
    for more in (
        ["--out", site / "model.pth"],
        ["--json", site / "model.pth"],
        ["--json", out],
        ["--json", out / "figures.json"],
        ["--images", listing, "--root", "", "--out", listing],
        ["--out", tmp_path],
    ):
        result = run(*words(site, out, *more))
        assert (result.code, "file" in result.err) == (2, True), more
    assert load_checkpoint(site / "model.pth")
    assert listing.read_text() == "path,camid\n"
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="no real weights and images beside the project")
def test_real_vehicles_gain_ten_points_from_people_s_weights(run, tmp_path):
    """OSNet x0.25 of Market-1501 on two-camera vehicles: 61.3 mAP before, at least 70 after."""
    source, weights = SHARED / "weights" / "osnet_x0_25_market1501.pth", tmp_path / "osnet.pth"
    assert run(source, weights, name="import_weights").code == 0
    figures = tmp_path / "figures.json"
    options = ["--weights", weights, "--images", "vehicles2cam", "--root", SHARED / "data"]
    result = run(*options, "--out", tmp_path / "adapted.pth", "--json", figures)
    assert result.code == 0, result.err
    models = json.loads(figures.read_text())["models"]
    assert models["before"]["mAP"] == pytest.approx(0.613, abs=0.001)
    assert models["adapted"]["mAP"] > 0.70

"""Adaptation on the command line: a checkpoint and a table, or one line and nothing."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peers import SHARED

from reid.data import write_synthetic_market
from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, load_checkpoint, save_checkpoint
from reid.utils.cli import run_tool

pytest.importorskip("faiss")
ROOT = Path(__file__).parents[2]
HALF = (0.5, 0.5, 0.5)


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
    write_synthetic_market(folder / "data", num_train_ids=16, num_test_ids=6, num_cameras=3)
    torch.manual_seed(0)
    spec = ModelSpec("resnet10", (64, 32), 4)
    model = ReIDModel(spec).eval()
    save_checkpoint(folder / "model.pth", model, Header(spec, Preprocessing((64, 32), HALF, HALF)))
    return folder


def words(site, out, *more):
    return [
        "--weights",
        site / "model.pth",
        "--images",
        "market1501",
        "--root",
        site / "data",
        "--out",
        out,
        *more,
    ]


def test_a_site_gives_a_checkpoint_a_table_and_figures(run, site, tmp_path):
    out, figures = tmp_path / "adapted.pth", tmp_path / "figures.json"
    result = run(*words(site, out, "--k", "3", "--batchnorm", "on", "--json", figures))
    assert result.code == 0, result.err
    assert "BatchNorm statistics: re-estimated" in result.out
    assert "95 % interval" in result.out
    header = load_checkpoint(out)[1]
    assert header.model.adapted
    assert header.training.stage == "adaptation"
    found = json.loads(figures.read_text())
    assert (found["batchnorm"], found["denoised"]) == (True, True)
    assert found["num_pairs"] > 0
    assert found["chosen"] is None  # it was given
    assert set(found["models"]) == {"before", "adapted"}
    assert "adapted to" in found["models"]["adapted"]["protocol"]
    again = run("--weights", out, *words(site, tmp_path / "twice.pth")[2:])
    assert again.code == 2
    assert "adapted before" in again.err
    assert not (tmp_path / "twice.pth").exists()


def test_without_cameras_pairs_are_any_neighbours(run, site, tmp_path):
    listing = site / "unknown.csv"
    names = sorted(path.relative_to(site) for path in (site / "data" / "bounding_box_train").glob("*.jpg"))
    listing.write_text("path\n" + "".join(f"{name}\n" for name in names))
    options = ["--weights", site / "model.pth", "--images", listing, "--out", tmp_path / "a.pth"]
    refused = run(*options)
    assert refused.code == 2
    assert "needs the camera of every image" in refused.err
    done = run(*options, "--no-cameras")
    assert done.code == 0, done.err
    assert load_checkpoint(tmp_path / "a.pth")[1].model.adapted


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--k", "0"], "k = 0"),
        (["--k", "100000000000"], "1 to 100 neighbours"),
        (["--shrinkage", "0"], "above 0"),
        (["--shrinkage", "nan"], "above 0"),
        (["--batch-size", "0"], "at least 1"),
        (["--device", "tpu"], "device"),
        (["--images", "nothing.csv"], "nothing.csv"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(run, site, tmp_path, more, message):
    result = run(*words(site, tmp_path / "a.pth", "--batchnorm", "off", *more))
    assert result.code == 2
    assert message in result.err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_neither_weights_nor_list_nor_output_are_overwritten(run, site, tmp_path):
    listing = tmp_path / "site.csv"
    listing.write_text("path,camid\n")
    out = tmp_path / "out.pth"
    for more in (
        ["--out", site / "model.pth"],
        ["--json", site / "model.pth"],
        ["--json", out],
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

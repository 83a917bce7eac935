"""The script of real images: its halves, and at its smallest the whole of it where the images are."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from peers import SHARED

from reid.data import Records, ReIDDataset
from reid.utils.cli import run_tool

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("real_images_benchmark", FOLDER / "real_images.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_halves_share_no_identity_and_each_camera_queries_the_other(script):
    pids, camids = np.repeat(np.arange(9), 2), np.tile([0, 1], 9)
    every = Records(Path(), np.array([f"{n}.jpg" for n in range(18)]), pids, camids)
    dataset = ReIDDataset("n", "t", "train", every.select(np.arange(6)), every.select(np.arange(6, 18)), ())
    halves = list(script.halve(dataset, 3))
    assert len({tuple(sorted(set(half.train.pids))) for half in halves}) > 1
    for half in halves:
        fitted, tested = set(half.train.pids), set(half.test.pids)
        assert not fitted & tested
        assert fitted | tested == set(range(9))
        assert len(fitted) == 4
        first, second = half.trials
        assert set(half.test.camids[first.query]) == set(half.test.camids[second.gallery]) == {0}
        assert set(half.test.camids[first.gallery]) == set(half.test.camids[second.query]) == {1}


def test_help_shows_an_example(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["real_images.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        run_tool(script.main)
    assert "python benchmarks/real_images.py --shared" in capsys.readouterr().out


def test_a_folder_without_weights_is_one_line(script, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["real_images.py", "--shared", str(tmp_path)])
    assert run_tool(script.main) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="no real weights and images beside the project")
def test_real_vehicles_gain_from_adaptation_and_not_from_the_papers_setting(
    script, monkeypatch, capsys, tmp_path
):
    figures = tmp_path / "figures.json"
    words = ["--shared", str(SHARED), "--epochs", "1", "--splits", "1", "--json", str(figures)]
    monkeypatch.setattr(sys, "argv", ["real_images.py", *words])
    assert run_tool(script.main) == 0
    found = json.loads(figures.read_text())
    layers, cameras = found["layers"], found["cameras"]
    assert layers["untouched"]["mAP"] == pytest.approx(0.613, abs=0.001)
    trained = layers["the paper's setting, by gradients (1 epochs)"]
    assert abs(trained["mAP_gain"]) < 0.005
    assert cameras["default: all chosen without labels"]["mAP"] > 0.70
    assert found["halves"][0]["mAP_gain"] > 0.09
    assert "mean gain" in capsys.readouterr().out

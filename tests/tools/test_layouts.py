"""Every layout, drawn small, goes through training and testing as a user would start them."""

import importlib.util
import json
from pathlib import Path

import pytest
from small import small_words

from reid.data import LAYOUTS

TOOLS = Path(__file__).parents[2] / "tools"
# A choice of boxes is named, so that a run logs no warning.
OPTIONS = {"cuhk03": ["DATASETS.CUHK03_BOXES", "detected"], "cuhk03_np": ["DATASETS.CUHK03_BOXES", "labeled"]}
CLASSIC = ["DATASETS.CUHK03_PROTOCOL", "classic", "DATASETS.CUHK03_SPLIT", "20"]
CASES = [(layout, OPTIONS.get(layout, [])) for layout in LAYOUTS] + [("cuhk03", OPTIONS["cuhk03"] + CLASSIC)]


def run(tool, *words):
    spec = importlib.util.spec_from_file_location(f"{tool}_tool", TOOLS / f"{tool}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(word) for word in words])


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "options"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_a_layout_is_drawn_trained_on_and_tested(tmp_path, capsys, layout, options):
    root, output = tmp_path / "drawn", tmp_path / "run"
    run("make_synthetic", "--layout", layout, "--out", root, "--train-ids", "8", "--test-ids", "4")
    assert "training images of 8 identities" in capsys.readouterr().out
    dataset = LAYOUTS[layout].dataset
    words = [*small_words(root, output, "DATASETS.NAMES", dataset, "DENOISE.MODE", "none"), *options]
    words += ["SOLVER.MAX_EPOCHS", "1"]
    run("train", "--config", "demo.yml", *words)
    weights, figures = output / "baseline.pth", output / "test.json"
    run("test", "--config", "demo.yml", "--weights", weights, "--json", figures, "--no-pictures", *words)
    assert "drawn people in " in capsys.readouterr().out
    (row,) = json.loads(figures.read_text())["models"].values()
    assert 0 < row["mAP"] <= 1
    # Several trials are averaged, and their spread is told.
    assert ("std" in row) == (layout == "vehicleid" or "classic" in options)

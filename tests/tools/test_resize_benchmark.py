"""The resize benchmark: Pillow's rows are the model's own, and real vehicles lose by OpenCV's modes."""

import json

import numpy as np
import pytest
import torch
from peers import SHARED
from PIL import Image
from scripts import ROOT, load_script, run_script

from reid.models import Preprocessing

PREPARED = Preprocessing((16, 8), (0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return load_script(monkeypatch, "benchmarks/resize.py")


def test_only_the_resize_differs(script):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 40, 3), np.uint8))
    own = script.prepare(PREPARED, None, image)
    assert torch.equal(own, PREPARED(image))
    for mode in list(script.MODES.values())[1:]:
        assert not torch.equal(script.prepare(PREPARED, mode, image), own)
        fits = image.resize((8, 16))
        assert torch.equal(script.prepare(PREPARED, mode, fits), PREPARED(fits)), "no resize, no difference"


def test_a_folder_without_weights_is_one_line(script, monkeypatch, capsys, tmp_path):
    assert run_script(script, monkeypatch, "--shared", tmp_path) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="no real weights and images beside the project")
def test_the_documented_figures(script, monkeypatch, capsys, tmp_path):
    """python benchmarks/resize.py --shared ../shared"""
    assert run_script(script, monkeypatch, "--shared", SHARED, "--json", tmp_path / "r.json") == 0
    found = json.loads((tmp_path / "r.json").read_text())
    told = (ROOT / "docs" / "export.md").read_text()
    for name, row in list(found.items())[1:]:
        gain, low, high = (100 * value for value in (row["mAP_gain"], *row["mAP_gain_interval"]))
        assert f"| {name} | {gain:.1f} ({low:.1f} to {high:.1f}) |" in told
        assert f"{row['cosine']:.3f}, lowest {row['lowest_cosine']:.3f} |" in told

"""The importer on the command line: a report and a checkpoint, or one line and nothing."""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peers import SHARED, prefixed

from reid.models import load_checkpoint
from reid.models.osnet import OSNet
from reid.utils.cli import run_tool

TOOL = Path(__file__).parents[2] / "tools" / "import_weights.py"
REAL = SHARED / "weights" / "osnet_x0_25_market1501.pth"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool's ``main`` in this process as its script would."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["import_weights.py", *map(str, words)])
        spec = importlib.util.spec_from_file_location("import_weights_tool", TOOL)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        try:
            code = run_tool(module.main)
        except SystemExit as leave:
            code = leave.code
        printed = capsys.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    return call


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    classifier = {"classifier.weight": torch.ones(5, 512), "classifier.bias": torch.ones(5)}
    return OSNet("osnet_x0_25").state_dict() | classifier


def save(folder, content):
    torch.save(content, folder / "peer.pth")
    return folder / "peer.pth"


def test_a_file_becomes_a_checkpoint_with_a_report(run, state, tmp_path):
    wrapped = {"state_dict": prefixed(state, "module."), "epoch": 3}
    result = run(save(tmp_path, wrapped), tmp_path / "new" / "ours.pth", "--size", 128, 64, "--classes", 5)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0].startswith("torchreid: osnet of 2-2-2 blocks and width 128; images of")
    assert "\ndropped: 1: classifier.bias\n" in result.out
    assert result.out.endswith("ours.pth, for MODEL.NAME osnet_x0_25 TEST.NECK_FEAT before\n")
    assert "images: 128x64, bilinear, mean (0.485, 0.456, 0.406)" in result.out
    model, header = load_checkpoint(tmp_path / "new" / "ours.pth")
    assert (header.model.name, header.model.num_classes, header.preprocessing.size) == (
        "osnet_x0_25",
        5,
        (128, 64),
    )
    assert torch.equal(model.backbone.conv1.conv.weight, state["conv1.conv.weight"])


@pytest.mark.skipif(not REAL.is_file(), reason="the real weights are not here")
def test_a_real_file_is_taken_over_whole(run, tmp_path):
    result = run(REAL, tmp_path / "ours.pth")
    assert result.code == 0, result.err
    report = dict(line.split(": ", 1) for line in result.out.splitlines()[1:6])
    assert (report["matched"], report["dropped"], report["unexpected"]) == ("566", "1: classifier.bias", "0")
    assert load_checkpoint(tmp_path / "ours.pth")[1].model.num_classes == 751


def test_old_pickles_are_read_only_when_asked_for_and_with_a_warning(run, state, tmp_path):
    old = save(tmp_path, {"state_dict": state, "args": argparse.Namespace(lr=1)})
    refused = run(old, tmp_path / "ours.pth")
    assert refused.code == 2
    assert "loading it could run code" in refused.err
    assert refused.err.endswith("or read it with --allow-unsafe if you trust its source\n")
    result = run(old, tmp_path / "ours.pth", "--allow-unsafe")
    assert (result.code, result.err) == (0, f"--allow-unsafe: code in {old} may run\n")
    assert (tmp_path / "ours.pth").is_file()


def cut(path, state):
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:20_000])


def saved(change):
    """Writes a good file after ``change``."""
    return lambda path, state: torch.save(change(state), path)


REFUSED = {
    "cut short": (cut, [], "is no readable file of weights"),
    "a web page": (lambda p, s: p.write_text("\n<!DOCTYPE html><html>"), [], "is a web page, not weights"),
    "an empty file": (lambda p, s: p.write_bytes(b""), [], "is no readable file of weights"),
    "missing": (lambda p, s: None, [], "weights not found"),
    "missing and unsafe": (lambda p, s: None, ["--allow-unsafe"], "weights not found"),
    "no pickle": (lambda p, s: p.write_bytes(b"\1\2"), ["--allow-unsafe"], "is no readable file of weights"),
    "another family": (saved(dict), ["--family", "transreid"], "must be of the family transreid"),
    "no family": (saved(lambda s: {"a.b": torch.ones(1)}), [], "the keys fit no known family: a.b of 1"),
    "other identities": (saved(dict), ["--classes", "6"], "must have 6 identities (--classes), it has 5"),
    "a key of the backbone is missing": (
        saved(lambda s: {k: v for k, v in s.items() if k != "fc.0.bias"}),
        [],
        "lacks 1 keys of the backbone osnet_x0_25, such as backbone.fc.0.bias",
    ),
    "ours": (saved(lambda s: {"header": "{}", "state_dict": s}), [], "already; use it as it is"),
    "a size of nothing": (saved(dict), ["--size", "0", "64"], "1..4096 pixels, got (0, 64)"),
    "a tensor alone": (saved(lambda s: s["fc.0.bias"]), [], "must hold a state dict, got Tensor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_used_is_one_line_and_nothing_is_written(run, state, tmp_path, case):
    write, words, expected = REFUSED[case]
    path = tmp_path / "peer.pth"
    write(path, state)
    result = run(path, tmp_path / "ours.pth", *words)
    assert (result.code, result.out) == (2, "")
    lines = [line for line in result.err.splitlines() if not line.startswith("--allow-unsafe: ")]
    assert len(lines) == 1, result.err
    assert expected in lines[0]
    assert not (tmp_path / "ours.pth").exists()


def test_the_source_is_never_overwritten(run, state, tmp_path):
    path = save(tmp_path, state)
    before = path.read_bytes()
    assert "OUT must be another file than IN" in run(path, tmp_path / "." / "peer.pth").err
    assert path.read_bytes() == before

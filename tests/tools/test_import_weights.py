"""The importer on the command line: a report and a checkpoint, or one line and nothing."""

import argparse
import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
import torchvision
from peer_clip import clip_rn50_state
from peer_vit import vit_state
from peers import SHARED, prefixed

from reid.models import JigsawSpec, load_checkpoint
from reid.models.backbones.osnet import OSNet
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


def counts(printed):
    """How many keys the report puts into each of its lists."""
    lines = (re.match(r"(\w+): (\d+)", line) for line in printed.splitlines()[1:6])
    return {match[1]: int(match[2]) for match in lines}


def save(folder, content):
    torch.save(content, folder / "peer.pth")
    return folder / "peer.pth"


def test_a_file_becomes_a_checkpoint_with_a_report(run, state, tmp_path):
    wrapped = {"state_dict": prefixed(state, "module."), "epoch": 3}
    result = run(save(tmp_path, wrapped), tmp_path / "new" / "ours.pth", "--size", 128, 64, "--classes", 5)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0].startswith("torchreid: osnet of 2-2-2 blocks and width 128; images of")
    assert "\ndropped: 1 (known, and of no use here): classifier.bias\n" in result.out
    assert "\nmodel: osnet_x0_25\n" in result.out
    assert "ours.pth; to train on from it: MODEL.NAME osnet_x0_25\n" in result.out
    assert result.out.endswith("ours.pth MODEL.NAME osnet_x0_25\n")
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
    report = counts(result.out)
    assert report == {"matched": 566, "interpolated": 0, "dropped": 1, "missing": 5, "unexpected": 0}
    assert load_checkpoint(tmp_path / "ours.pth")[1].model.num_classes == 751


def every_key_is_in_one_list(state, printed):
    report = counts(printed)
    return len(state) == sum(report.values()) - report["missing"]


def test_safetensors_of_timm_need_no_wrapper_and_the_report_names_all_keys_once(run, tmp_path):
    torch.manual_seed(0)
    state = torchvision.models.resnet18().state_dict()
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    result = run(tmp_path / "model.safetensors", tmp_path / "ours.safetensors", "--size", 64, 32, "--gem")
    assert (result.code, result.err) == (0, "")
    assert every_key_is_in_one_list(state, result.out)
    assert "\ndropped: 2 (known, and of no use here): fc.bias fc.weight\n" in result.out
    _, header = load_checkpoint(tmp_path / "ours.safetensors")
    assert (header.model.name, header.model.gem, header.model.last_stride) == ("resnet18", True, 2)


@pytest.mark.slow
def test_the_words_of_the_command_line_reach_the_model(run, tmp_path):
    file = vit_state(width=384, depth=12, tokens=163, classes=9, sie_rows=12, jigsaw=True)
    words = ["--size", 256, 128, "--views", 4, "--sie-coef", 1.5, "--shift", 3, "--family", "transreid"]
    result = run(save(tmp_path, {"model": file, "optimizer": {"state": {}}}), tmp_path / "ours.pth", *words)
    assert (result.code, result.err) == (0, "")
    assert every_key_is_in_one_list(file, result.out)
    _, header = load_checkpoint(tmp_path / "ours.pth")
    spec = header.model
    assert (spec.image_size, spec.patch_stride, spec.jigsaw) == ((256, 128), (14, 14), JigsawSpec(shift=3))
    assert (spec.side.cameras, spec.side.views, spec.side.coef) == ((0, 1, 2), (0, 1, 2, 3), 1.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_clip_reids_resnet_of_a_torchscript_archive_in_half_precision_is_accounted_for(run, tmp_path):
    class Archive(torch.nn.Module):
        """Holds tensors under dotted names, as a scripted network does."""

        def __init__(self, state):
            super().__init__()
            for key, value in state.items():
                node, *rest = self, *key.split(".")
                for part in rest[:-1]:
                    if not hasattr(node, part):
                        node.add_module(part, torch.nn.Module())
                    node = getattr(node, part)
                node.register_buffer(rest[-1], value.half() if value.is_floating_point() else value)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    file = clip_rn50_state(classes=9, tokens=129, cv_rows=6, text=False)
    torch.jit.save(torch.jit.script(Archive(file)), tmp_path / "peer.pth")
    result = run(tmp_path / "peer.pth", tmp_path / "ours.pth", "--allow-unsafe", "--classes", 9)
    assert result.code == 0, result.err
    assert every_key_is_in_one_list(file, result.out)
    assert counts(result.out)["matched"] == len(file) - 1
    model, _ = load_checkpoint(tmp_path / "ours.pth")
    query = file["image_encoder.attnpool.q_proj.weight"].half().float()
    assert torch.equal(model.backbone.attnpool.qkv.weight[:2048], query)


def test_old_pickles_are_read_only_when_asked_for_and_with_a_warning(run, state, tmp_path):
    old = save(tmp_path, {"state_dict": state, "args": argparse.Namespace(lr=1)})
    refused = run(old, tmp_path / "ours.pth")
    assert refused.code == 2
    assert "loading it could run code" in refused.err
    assert refused.err.endswith("tools/import_weights.py --allow-unsafe if you trust its source\n")
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
        "is no osnet_x0_25: 1 keys of the backbone are missing, such as backbone.fc.0.bias",
    ),
    "ours": (saved(lambda s: {"header": "{}", "state_dict": s}), [], "already; use it as it is"),
    "a size of nothing": (saved(dict), ["--size", "0", "64"], "1..4096 pixels, got (0, 64)"),
    "views without side information": (saved(dict), ["--views", "2"], "leave out --views and --sie-coef"),
    "a shift without jigsaw branches": (saved(dict), ["--shift", "5"], "leave out --shift"),
    "pooling that it cannot have": (
        saved(dict),
        ["--gem"],
        "peer.pth: osnet_x0_25 has no place for gen",
    ),
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
    assert "the results must go to another file" in run(path, tmp_path / "." / "peer.pth").err
    assert path.read_bytes() == before

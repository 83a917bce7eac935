"""The export tool and the example: a file and its difference, or one line and nothing."""

import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
from scripts import ROOT, load_script, run_script

from reid import embed_boxes, load_model
from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, save_checkpoint


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec("vit_micro", (64, 32), 3)
    path = tmp_path / "in" / "w.pth"
    save_checkpoint(path, ReIDModel(spec), Header(spec, Preprocessing((64, 32), (0.5,) * 3, (0.5,) * 3)))
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        capsys.readouterr()
        try:
            code = run_script(load_script(monkeypatch, "tools/export.py"), monkeypatch, *words)
        except SystemExit as leave:
            code = leave.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.mark.slow
def test_the_example_tells_who_is_who(run, weights, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "demo.onnx"
    code, told, err = run("--weights", weights, "--out", out, "--with-preprocessing")
    assert (code, err) == (0, "")
    assert told.startswith("largest difference on drawn images: ")
    monkeypatch.setattr(sys, "argv", ["track_with_onnx.py", str(out)])
    example = runpy.run_path(str(ROOT / "examples" / "track_with_onnx.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1::5][:2] for line in lines] == [["0", "is"], ["1", "is"], ["2", "is"]]
    assert [line.split()[8] for line in lines] == ["1", "2", "0"]
    # Its features are those of the toolkit, of crops that are larger and smaller than the model's images.
    frame = np.random.default_rng(0).integers(0, 256, (240, 160, 3), np.uint8)
    boxes = np.array([[0, 0, 160, 240], [20, 30, 60, 55], [3, 5, 35, 69]])
    found = example["embed"](example["load"](str(out)), frame, boxes)
    expected = embed_boxes(load_model(weights), frame, boxes, normalize=True)
    assert np.abs(found - expected.numpy()).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.pt2", "a.ts", "a.onnx", "a.pth"])
def test_a_disk_that_fills_up_is_one_line(weights, tmp_path, name):
    """Files may have 100 kB here, a model takes more."""
    pytest.importorskip("onnxruntime")
    more = ["--format", "plain"] if name.endswith("pth") else []
    words = [
        sys.executable,
        ROOT / "tools" / "export.py",
        "--weights",
        weights,
        "--out",
        tmp_path / name,
        *more,
    ]
    limited = ["sh", "-c", 'ulimit -f 100; trap "" XFSZ; exec "$@"', "sh", *map(str, words)]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.slow
def test_the_example_refuses_what_it_cannot_use_in_one_line(run, weights, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    out = tmp_path / "demo.onnx"
    assert run("--weights", weights, "--out", out)[0] == 0
    (tmp_path / "other.onnx").write_bytes(b"other")
    for words, message in (
        ([], "usage: "),
        ([str(out)], "--with-preprocessing"),
        ([str(tmp_path / "none.onnx")], "must be an ONNX file that can be read"),
        ([str(tmp_path / "other.onnx")], "must be an ONNX file that can be read"),
    ):
        monkeypatch.setattr(sys, "argv", ["track_with_onnx.py", *words])
        with pytest.raises(SystemExit, match=message) as leave:
            runpy.run_path(str(ROOT / "examples" / "track_with_onnx.py"), run_name="__main__")
        assert "\n" not in str(leave.value)


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["--format", "tensorrt"], "invalid choice: 'tensorrt'"),
        (["--format", "torchscript", "--tolerance", "-1"], "a finite number of at least 0, got -1"),
        (["--format", "torchscript", "--tolerance", "nan"], "a finite number of at least 0, got nan"),
        (["--format", "torchscript", "--images", ""], "images must be named"),
        (["--keys", "timm", "--format", "onnx"], "--keys is of plain weights"),
        (["--keys", "torchvision", "--format", "plain"], "torchvision keys cannot express"),
        ([], "--format must be one of"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_no_file(run, weights, tmp_path, words, needle):
    code, told, err = run("--weights", weights, "--out", tmp_path / "a.pth", *words)
    assert (code, told, err.count("\n")) == (2, "", 1)
    assert needle in err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_plain_weights_tell_how_images_are_prepared(run, weights, tmp_path):
    code, told, err = run("--weights", weights, "--out", tmp_path / "a.pth", "--format", "plain")
    assert (code, err) == (0, "")
    assert f"images: {Preprocessing((64, 32), (0.5,) * 3, (0.5,) * 3).describe()}\n" in told


def test_weights_are_never_written_over_and_damaged_ones_refused(run, weights, tmp_path):
    before = weights.read_bytes()
    assert "the results must go to another file" in run("--weights", weights, "--out", weights)[2]
    assert weights.read_bytes() == before
    weights.write_bytes(before[:1000])
    code, _, err = run("--weights", weights, "--out", tmp_path / "a.onnx")
    assert code == 2
    assert "no readable file of weights" in err
    assert "cannot" in run("--weights", weights, "--out", "/proc/a.onnx")[2]

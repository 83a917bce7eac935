"""The tools: results, exit codes, one line for bad input, nothing half-written.

A process of its own costs seconds of imports, so most cases call the script's ``main`` in this one.
"""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from small import draw_people, small_words

from reid.utils.cli import run_tool

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a tool's ``main`` in this process as its script would."""

    def call(tool, *words, cwd=ROOT):
        monkeypatch.setattr(sys, "argv", [tool, *map(str, words)])
        monkeypatch.chdir(cwd)
        spec = importlib.util.spec_from_file_location(
            tool.removesuffix(".py") + "_tool", ROOT / "tools" / tool
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        capsys.readouterr()
        try:
            code = run_tool(module.main)
        except SystemExit as leave:  # argparse: help and wrong usage
            code = leave.code
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=printed.out, stderr=printed.err)

    return call


def run_process(tool, *words, cwd=ROOT):
    command = [sys.executable, str(ROOT / "tools" / tool), *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


def assert_refused(result, *needles):
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if " INFO " not in line and " WARNING " not in line]
    assert len(lines) == 1, result.stderr
    assert all(needle in lines[0] for needle in needles), lines[0]
    assert result.stdout == ""


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def trained(people, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "small"
    words = small_words(people, output)
    result = run_process(
        "train.py", "--config", "demo.yml", *words, "--json", output / "train.json", cwd=people
    )
    assert result.returncode == 0, result.stderr
    return output, words, result


def test_train_prints_its_table_and_protocol(trained):
    output, _, result = trained
    assert "| model " in result.stdout
    assert "| baseline " in result.stdout
    assert "| + DenoiseRep unfused " in result.stdout
    expected = "drawn people in Market-1501's layout, trained on its train split (32 images), cosine metric"
    assert f"protocol: {expected}" in result.stdout
    assert "mAP: " in result.stderr
    assert "CMC curve, Rank-1  :" in (output / "log.txt").read_text()
    figures = json.loads((output / "train.json").read_text())
    assert {"mAP", "R1", "protocol", "num_query"} <= set(figures["label_free"])


def test_test_prints_three_rows_and_draws(run, trained):
    output, words, _ = trained
    json_file = output / "test.json"
    flags = ("--weights", output / "denoised.pth", "--json", json_file)
    result = run("test.py", "--config", "demo.yml", *flags, *words)
    assert result.returncode == 0, result.stderr
    for name in ("| baseline ", "| + DenoiseRep unfused ", "| + DenoiseRep fused "):
        assert name in result.stdout
    figures = json.loads(json_file.read_text())
    assert figures["fused_difference"] < 1e-4
    assert 0 <= figures["models"]["baseline"]["mAP"] <= 1
    assert (output / "cmc.png").exists()
    assert (output / "ranked_lists.png").exists()
    assert "<!doctype html>" in (output / "report.html").read_text(encoding="utf-8").lower()


@pytest.mark.slow
def test_flags_of_inference_are_run_with_and_told_line_by_line(run, trained):
    output, words, _ = trained
    words = [*words, "TEST.DTYPE", "bfloat16", "MODEL.CHANNELS_LAST", "True"]
    flags = ("--weights", output / "baseline.pth", "--json", output / "flags.json", "--no-pictures")
    result = run("test.py", "--config", "demo.yml", *flags, *words)
    assert result.returncode == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("inference ")]
    assert [line.split(" against ")[0] for line in lines] == [
        "inference dtype bfloat16",
        "inference channels_last True",
        "inference together bfloat16, channels last",
    ]
    figures = json.loads((output / "flags.json").read_text())
    assert list(figures["inference"]) == ["dtype", "channels_last", "together"]
    assert figures["protocol"].endswith(", bfloat16, channels last")


def test_plain_weights_give_the_baseline_row_alone(run, trained):
    output, words, _ = trained
    result = run(
        "test.py", "--config", "demo.yml", "--weights", output / "baseline.pth", "--no-pictures", *words
    )
    assert result.returncode == 0, result.stderr
    assert "baseline" in result.stdout
    assert "fused" not in result.stdout


@pytest.mark.parametrize("tool", ["train.py", "test.py", "make_synthetic.py"])
def test_help_shows_an_example(run, tool):
    result = run(tool, "--help")
    assert result.returncode == 0
    assert f"python tools/{tool}" in result.stdout


@pytest.mark.parametrize(
    ("overrides", "needles"),
    [
        (["SOLVER.BASE_LRR", "1"], ["unknown key SOLVER.BASE_LRR", "did you mean SOLVER.BASE_LR?"]),
        (["SOLVER.MAX_EPOCHS", "many"], ["SOLVER.MAX_EPOCHS must be a int", "'many'"]),
        (["DATASETS.NAMES", "markt1501"], ["unknown data set", "did you mean 'market1501'?"]),
        (["MODEL.NAME", "vit_smal"], ["unknown backbone", "did you mean 'vit_small'?"]),
        (["DATASETS.ROOT_DIR", "nowhere"], ["nowhere"]),
        (["MODEL.PRETRAIN_PATH", "nowhere.pth"], ["nowhere.pth does not exist"]),
        (["SOLVER.IMS_PER_BATCH", "62"], ["multiple of DATALOADER.NUM_INSTANCE (4), got 62", "60 or 64"]),
        (["SOLVER.SEED"], ["KEY VALUE pairs"]),
        (["MODEL.DEVICE", "tpu"], ["the device must be"]),
        (["TEST.DTYPE", "half"], ["TEST.DTYPE must be one of 'float32', 'bfloat16', 'float16', got 'half'"]),
        (["DENOISE.TARGETS", "conv9", "SOLVER.MAX_EPOCHS", "1"], ["no layer to denoise matches"]),
    ],
    ids=str,
)
def test_bad_words_are_refused_and_nothing_is_written(run, people, tmp_path, overrides, needles):
    output = tmp_path / "run"
    result = run("train.py", "--config", "demo.yml", *small_words(people, output, *overrides))
    assert_refused(result, *needles)
    assert not output.exists()


@pytest.mark.parametrize(
    ("flag", "number", "needle"),
    [
        ("--cameras", 10**9, "num_cameras of a synthetic"),
        ("--train-ids", 10**9, "num_train_ids of"),
        ("--test-ids", -1, "num_test_ids of"),
        ("--seed", -1, "seed of"),
        ("--cameras", "1" * 5000, "--cameras"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_numbers_that_cannot_be_drawn_are_refused_and_nothing_is_written(run, tmp_path, flag, number, needle):
    assert_refused(run("make_synthetic.py", "--out", tmp_path / "a" / "people", flag, number), needle)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_process_of_its_own_refuses_alike(tmp_path):
    result = run_process("test.py", "--config", "demo.yml", "MODEL.NAMES", "x", cwd=tmp_path)
    assert_refused(result, "unknown key MODEL.NAMES", "did you mean MODEL.NAME?")


def test_an_unknown_config_is_refused(run):
    assert_refused(run("train.py", "--config", "dem.yml"), "no configuration file dem.yml", "demo.yml")


def test_wrong_usage_is_one_line(run):
    assert_refused(run("train.py"), "--config")
    assert_refused(run("test.py", "--config", "demo.yml", "--wieghts", "x"), "--wieghts")


@pytest.mark.parametrize("tool", ["train.py", "test.py"])
def test_figures_that_could_not_be_written_are_refused_before_anything(run, tmp_path, tool):
    assert_refused(run(tool, "--config", "demo.yml", "--json", tmp_path), "--json", f"{tmp_path} is a folder")


def test_no_weights_is_refused(run):
    assert_refused(run("test.py", "--config", "demo.yml"), "no weights to evaluate")


def test_an_empty_split_is_refused(run, tmp_path):
    root = draw_people(tmp_path / "people")
    for path in (root / "query").iterdir():
        path.unlink()
    assert_refused(run("train.py", "--config", "demo.yml", *small_words(root, tmp_path / "run")), "query")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_corrupt_image_is_named(run, tmp_path, workers):
    root = draw_people(tmp_path / "people")
    victim = sorted((root / "bounding_box_train").glob("*.jpg"))[3]
    victim.write_bytes(b"no image")
    words = small_words(root, tmp_path / "run", "DATALOADER.NUM_WORKERS", workers, "SOLVER.MAX_EPOCHS", "2")
    result = run("train.py", "--config", "demo.yml", *words)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert victim.name in result.stderr.strip().splitlines()[-1]
    assert not list((tmp_path / "run").glob("*.pth"))


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_pickle_with_code_is_refused_and_does_not_run(run, people, tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(RunsCode()))
    words = small_words(people, tmp_path / "run")
    result = run("test.py", "--config", "demo.yml", "--weights", "evil.pth", *words, cwd=tmp_path)
    assert_refused(result, "evil.pth is refused", "could run code")
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_shape_are_refused(run, trained, people, tmp_path):
    output, _, _ = trained
    words = small_words(people, tmp_path / "run", "MODEL.NAME", "vit_small")
    words += ["MODEL.PRETRAIN_PATH", str(output / "baseline.pth")]
    assert_refused(run("train.py", "--config", "demo.yml", *words), "baseline.pth")
    assert not (tmp_path / "run").exists()

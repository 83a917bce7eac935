"""The benchmarks' command lines at toy size; their figures are for people."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from reid.utils.cli import run_tool

FOLDER = Path(__file__).parents[2] / "benchmarks"
SIZES = ["--queries", "30", "--gallery", "90", "--width", "8", "--identities", "7", "--rounds", "1"]
both = pytest.mark.parametrize("name", ["evaluation", "rerank"])


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(
        sys, "path", [*sys.path]
    )  # the benchmark of re-ranking adds the folder of the oracles

    def run(name, *words):
        pytest.importorskip("faiss")
        spec = importlib.util.spec_from_file_location(f"{name}_benchmark", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        return run_tool(module.main)

    return run


@pytest.mark.parametrize(
    ("name", "words", "titles"),
    [
        ("evaluation", [], ["faiss.knn, k = 50", "evaluate_retrieval", "evaluate_retrieval, faiss"]),
        ("rerank", [], ["sparse", "dense"]),
        ("rerank", ["--sparse-only"], ["sparse"]),
    ],
)
def test_ratios_memory_and_machine_are_printed(run, capsys, name, words, titles):
    assert run(name, *SIZES, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:-1]] == titles
    assert " MB; " in lines[-1]
    assert f"{torch.get_num_threads()} threads, torch " in lines[-1]


def test_pairs_are_counted_and_told_right_or_wrong(run, capsys):
    assert run("pairs", "--images", "300", "--width", "16", "--identities", "20") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("300 images of 16 numbers: ")
    assert first.endswith("% of one identity")
    assert f"{torch.get_num_threads()} threads, torch " in second


@both
def test_help_shows_an_example(run, capsys, name):
    with pytest.raises(SystemExit, match="0"):
        run(name, "--help")
    assert f"python benchmarks/{name}.py --queries" in capsys.readouterr().out


@both
@pytest.mark.parametrize(
    "words", [["--queries", "0"], ["--width", "many"], ["--gallery", "1" * 5000], ["more"]]
)
def test_wrong_words_are_one_line(run, capsys, name, words):
    with pytest.raises(SystemExit, match="2"):
        run(name, *words)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)

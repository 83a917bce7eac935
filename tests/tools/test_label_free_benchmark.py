"""The label-free benchmark's command line and its rows at toy size; its figures are for people."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from reid.models import ModelSpec
from reid.utils.cli import run_tool

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "label_free.py"


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module; it finds its neighbours beside it."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("label_free_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(benchmark, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["label_free.py", *words])
    try:
        return run_tool(benchmark.main)
    except SystemExit as leave:
        return leave.code


def test_help_shows_an_example(benchmark, monkeypatch, capsys):
    assert run(benchmark, monkeypatch, "--help") == 0
    assert "python benchmarks/label_free.py --batch 16" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["many"], ["--batch", "0"], ["--share", "0"], ["--share", "1.5"], ["--share", "half"]]
)
def test_wrong_words_are_one_line(benchmark, monkeypatch, capsys, words):
    assert run(benchmark, monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "label_free.py: error: " in err


def test_each_step_has_a_row_with_its_ratio_to_the_plain_one(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "ModelSpec", lambda name, size, ids: ModelSpec("vit_micro", size, ids))
    monkeypatch.setattr(benchmark, "SIZE", (64, 32))
    words = ["--batch", "8", "--rounds", "1", "--share", "0.5", "--statistics"]
    assert not run(benchmark, monkeypatch, *words)
    first, *table = capsys.readouterr().out.splitlines()
    assert first.startswith("vit_small, batch 8, 1 rounds; ")
    assert f"{torch.get_num_threads()} threads, torch " in first
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert rows[0][1:] == ["ms/step", "x plain"]
    assert [row[0] for row in rows[2:]] == [
        "plain training",
        "label-free, all positions",
        "label-free, a share of 0.5",
        "statistics, a batch",
    ]
    assert rows[2][2] == "1.000"


def test_every_round_begins_with_another_call(benchmark):
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    times = benchmark.time_in_turns(calls, 3, torch.device("cpu"))
    assert "".join(order) == "cababcbcacab"
    assert [len(seconds) for seconds in times.values()] == [3, 3, 3]

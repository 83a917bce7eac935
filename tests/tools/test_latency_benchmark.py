"""The benchmark's command line; its figures are for people."""

import importlib.util
import sys
from pathlib import Path

import pytest

from reid.utils.cli import run_tool

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "latency.py"


def run(monkeypatch, *words):
    spec = importlib.util.spec_from_file_location("latency_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["latency.py", *words])
    with pytest.raises(SystemExit) as leave:
        run_tool(module.main)
    return leave.value.code


def test_help_shows_an_example(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    assert "python benchmarks/latency.py 8 9" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["many"], ["0"], ["8", "-1"], ["8", "9", "10"], ["1" * 5000]])
def test_wrong_words_are_one_line(monkeypatch, capsys, words):
    assert run(monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "latency.py: error: " in err

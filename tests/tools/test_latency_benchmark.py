"""The benchmark's command line; its figures are for people."""

import pytest
from scripts import load_script, run_script


def run(monkeypatch, *words):
    return run_script(load_script(monkeypatch, "benchmarks/latency.py"), monkeypatch, *words)


def test_help_shows_an_example(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    assert "python benchmarks/latency.py 8 9" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["many"], ["0"], ["8", "-1"], ["8", "9", "10"], ["1" * 5000]])
def test_wrong_words_are_one_line(monkeypatch, capsys, words):
    assert run(monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "latency.py: error: " in err

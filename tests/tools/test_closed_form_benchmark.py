"""The closed form's benchmark: its command line and its rows at toy size; its figures are for people."""

import pytest
import torch
from scripts import load_script, run_script

from reid.models import ModelSpec


@pytest.fixture
def benchmark(monkeypatch):
    return load_script(monkeypatch, "benchmarks/closed_form.py")


def test_help_shows_an_example(benchmark, monkeypatch, capsys):
    assert run_script(benchmark, monkeypatch, "--help") == 0
    assert "python benchmarks/closed_form.py --batch 16" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["many"], ["--batch", "0"], ["--per-image", "half"]])
def test_wrong_words_are_one_line(benchmark, monkeypatch, capsys, words):
    assert run_script(benchmark, monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "closed_form.py: error: " in err


def test_each_pass_has_a_row_with_its_ratio_to_the_plain_one(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "ModelSpec", lambda name, size, ids: ModelSpec("vit_micro", size, ids))
    monkeypatch.setattr(benchmark, "SIZE", (64, 32))
    assert not run_script(benchmark, monkeypatch, "--batch", "4", "--rounds", "2", "--per-image", "3")
    first, *table = capsys.readouterr().out.splitlines()
    assert first.startswith("vit_small, batch 4, 2 rounds; ")
    assert f"{torch.get_num_threads()} threads, torch " in first
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert rows[0][1:] == ["ms/batch", "x plain"]
    names = ["plain forward", "statistics, 3 vectors an image", "statistics, all vectors"]
    assert [row[0] for row in rows[2:5]] == names
    assert rows[2][2] == "1.000"
    assert rows[5][0].startswith("solving ")

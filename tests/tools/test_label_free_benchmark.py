"""The label-free benchmark's command line and its rows at toy size; its figures are for people."""

import pytest
import torch
from scripts import load_script, run_script

from reid.models import ModelSpec


@pytest.fixture
def benchmark(monkeypatch):
    return load_script(monkeypatch, "benchmarks/label_free.py")


def test_help_shows_an_example(benchmark, monkeypatch, capsys):
    assert run_script(benchmark, monkeypatch, "--help") == 0
    assert "python benchmarks/label_free.py --batch 16" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["many"], ["--batch", "0"], ["--share", "0"], ["--share", "1.5"], ["--share", "half"]]
)
def test_wrong_words_are_one_line(benchmark, monkeypatch, capsys, words):
    assert run_script(benchmark, monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "label_free.py: error: " in err


def test_each_step_has_a_row_with_its_ratio_to_the_plain_one(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "ModelSpec", lambda name, size, ids: ModelSpec("vit_micro", size, ids))
    monkeypatch.setattr(benchmark, "SIZE", (64, 32))
    words = ["--batch", "8", "--rounds", "1", "--shares", "0.5", "0.25"]
    assert not run_script(benchmark, monkeypatch, *words)
    first, *table = capsys.readouterr().out.splitlines()
    assert first.startswith("vit_small, batch 8, 1 rounds, loss l2; ")
    assert f"{torch.get_num_threads()} threads, torch " in first
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert rows[0][1:] == ["ms/step", "x plain", "x its products"]
    assert [row[0] for row in rows[2:]] == [
        "plain training",
        "label-free, all positions",
        "label-free, a share of 0.5",
        "label-free, a share of 0.25",
    ]
    assert rows[2][2:] == ["1.000", "1.000"]
    # A plain step is a forward pass and twice as much backwards; a smaller share has fewer products.
    *_, half, quarter = (float(row[3]) for row in rows[2:])
    assert half > quarter > 1 / 3 - 0.05

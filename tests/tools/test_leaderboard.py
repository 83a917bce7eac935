"""The leaderboard on the command line: whole tables on drawn people, and what is missing by name."""

import json

import pytest
from scripts import load_script, run_script

from reid.leaderboard import TABLES, recipe_of


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    module = load_script(monkeypatch, "tools/leaderboard.py")

    def run(*words):
        code = run_script(module, monkeypatch, *words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def cells(number):
    return [cell for row in TABLES[number].rows for cell in row.cells.values()]


def test_what_is_missing_is_named_with_where_to_get_it(run, tmp_path):
    code, out, _ = run("run", "--table", "6", "--data", tmp_path / "none")
    assert code == 1
    assert "resnet50_imagenet.pth is missing under weights; get it from torchvision" in out
    assert "VehicleID_V1.0" in out
    assert list(tmp_path.iterdir()) == []


def test_list_and_show_without_results(run, tmp_path):
    code, out, _ = run("list")
    assert code == 0
    assert all(cell.key in out for number in TABLES for cell in cells(number))
    assert run("show", "--out", tmp_path / "page.html")[0] == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--table", "5"), "unknown table '5': choose one of 1, 2, 3, 4, 6"),
        (("run", "--table", "1", "--row", "x"), "unknown row of table 1 'x'"),
        (("run", "--table", "1", "--toy", "DENOISE.MODE", "joint"), "DENOISE.MODE is what tells cells apart"),
        (("run", "--table", "1", "--toy", "SOLVER.BASE_LRR", "1"), "did you mean SOLVER.BASE_LR?"),
        (("run", "--table", "1", "SOLVER.BASE_LR"), "KEY VALUE pairs"),
        (("walk",), "invalid choice"),
        (("run", "--table", "one"), "invalid int"),
    ],
)
def test_wrong_words_are_one_line(run, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_toy_table_is_measured_kept_and_shown(run, tmp_path):
    """Table 1: one baseline, and what is trained on from it; two seeds."""
    words = ("run", "--table", "1", "--toy", "--seeds", "2", "--results", "r", "--json", "r.json")
    code, out, err = run(*words)
    assert code == 0, err
    check(out, tmp_path / "r", 1)
    first = json.loads((tmp_path / "r.json").read_text())
    assert all(
        "2 seed(s), the paper has the mean of 5" in "".join(cell["differences"]) for cell in first.values()
    )
    assert all(cell["metrics"]["mAP"]["std"] >= 0 for cell in first.values())
    assert run(*words)[0] == 0
    assert json.loads((tmp_path / "r.json").read_text()) == first, "a finished cell is taken as it is"
    code, out, _ = run("show", "--results", "r")
    assert code == 0
    assert out.count("(toy)") == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3, 4, 6])
def test_a_whole_table_at_toy_size(run, tmp_path, number):
    code, out, err = run("run", "--table", number, "--toy", "--results", "r")
    assert code == 0, err[-3000:]
    check(out, tmp_path / "r", number)


def check(out, folder, number):
    """Cell by cell: measured with its own recipe where there is one, and else said why not."""
    for cell in cells(number):
        path = folder / f"{cell.key}.json"
        recipe = recipe_of(cell)
        if recipe is None:
            assert f"{cell.key}: no recipe here" in out
            assert not path.exists()
            continue
        found = json.loads(path.read_text())
        assert found["recipe"]["config"] == recipe.config
        assert found["paper"] == dict(cell.figures)
        assert 0 <= found["metrics"]["mAP"]["mean"] <= 1
        assert 0 <= found["metrics"]["R1"]["mean"] <= 1
        assert any(line.startswith("toy: ") for line in found["differences"])
        assert "drawn people" in found["protocol"]
        assert found["versions"]["torch"]
        assert found["hardware"]["cpus"]

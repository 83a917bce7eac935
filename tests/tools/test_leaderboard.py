"""The leaderboard on the command line: whole tables on drawn people, and what is missing by name."""

import json
import shutil

import pytest
import torch
from scripts import load_script, run_script

from reid.data import write_synthetic
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


def test_list_tells_every_cell_its_recipe_and_what_is_on_disk(run, tmp_path):
    write_synthetic("vehicleid", tmp_path / "data" / "VehicleID_V1.0", num_train_ids=2, num_test_ids=4)
    (tmp_path / "w" / "deep").mkdir(parents=True)
    (tmp_path / "w" / "deep" / "resnet50_imagenet.pth").touch()
    code, out, _ = run("list", "--data", "data", "--weights", "w", "--json", "cells.json")
    assert code == 0
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in out.splitlines()[2:]]
    known = [cell for number in TABLES for cell in cells(number)]
    assert [line[:3] for line in lines] == [[cell.row, str(cell.table), cell.dataset] for cell in known]
    assert lines[0][3:] == ["mAP 66.30", "vit_small_msmt, baseline", "no vit_small_cfs_lup.pth, MSMT17_V1"]
    assert lines[-1][3:] == ["mAP 77.30 R1 70.20", "resnet50_vehicleid, alternating", "all"]
    told = json.loads((tmp_path / "cells.json").read_text())
    assert [cell["cell"] for cell in told] == [cell.key for cell in known]
    assert told[-1]["recipe"]["config"] == "resnet50_vehicleid.yml"


def test_show_of_nothing_is_refused(run, tmp_path):
    (tmp_path / "results").mkdir()
    code, _, err = run("show", "--out", "page.html")
    assert (code, "must hold a finished cell" in err) == (2, True)
    assert not (tmp_path / "page.html").exists()


def test_what_the_words_make_impossible_is_found_before_anything_is_trained(run, tmp_path):
    (tmp_path / "r" / "table1-baseline-msmt17.json").mkdir(parents=True)
    (tmp_path / "empty.pth").touch()
    code, _, err = run("run", "--table", "1", "--toy", "--results", "r")
    assert (code, "is no regular file; remove it" in err) == (2, True)
    for words in (
        ("SOLVER.SEED", 2**63 - 1, "--seeds", "2"),
        ("MODEL.DEVICE", "tpu"),
        ("MODEL.NAME", "vit_smal"),
        ("INPUT.SIZE_TEST", "[64, 64]"),
        ("MODEL.PRETRAIN_PATH", "none.pth"),
        ("MODEL.PRETRAIN_PATH", "empty.pth"),
        ("MODEL.TEXT_FEATURES", "none.pth"),
    ):
        code, _, err = run("run", "--table", "1", "--toy", "--results", "s", *words)
        assert code == 2
        assert words[0] in err or str(words[1]) in err
    code, _, err = run("run", "--table", "1", "--toy", "--results", "empty.pth")
    assert (code, "empty.pth is a file; name another" in err) == (2, True), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.pth", "r"]


def test_pre_trained_weights_that_do_not_fit_are_found_before_anything_is_trained(run, tmp_path):
    write_synthetic("vehicleid", tmp_path / "data" / "VehicleID_V1.0", num_train_ids=2, num_test_ids=4)
    (tmp_path / "weights").mkdir()
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "weights" / "resnet50_imagenet.pth")
    code, _, err = run("run", "--table", "6", "--data", "data")
    assert (code, "resnet50_imagenet.pth" in err) == (2, True), err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--table", "5"), "unknown table '5': choose one of 1, 2, 3, 4, 6"),
        (("run", "--table", "1", "--row", "x"), "unknown row of table 1 'x'"),
        (("run", "--table", "1", "--toy", "DENOISE.MODE", "joint"), "DENOISE.MODE is what tells cells apart"),
        (("run", "--table", "1", "--toy", "SOLVER.BASE_LRR", "1"), "did you mean SOLVER.BASE_LR?"),
        (("run", "--table", "1", "SOLVER.BASE_LR"), "KEY VALUE pairs"),
        (("walk",), "invalid choice"),
        ((), "required: action"),
        (("show", "--results", "none"), "none is no folder"),
        (("show", "--out", "page.pdf"), "must end in .md or .html"),
        (("list", "--seeds", "3"), "unrecognized arguments"),
        (("list", "--row", "none"), "unknown row 'none'"),
        (("run", "--table", "1", "--toy", "DATASETS.ROOT_DIR", "x"), "name the data root by --data"),
        (("run", "--table", "1", "--json", "results/table2-merged-msmt17.json"), "must go to another file"),
        (("run", "--table", "1", "--toy", "--json", "results/runs"), "cannot both be files"),
        (("run", "--table", "1", "--toy", "--json", "results/toy_data"), "cannot both be files"),
        (("run", "--table", "1", "--toy", "--results", ""), "must be named, got an empty text"),
        (("run", "--table", "one"), "invalid int"),
    ],
)
def test_wrong_words_are_one_line(run, words, message):
    code, _, err = run(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_toy_table_is_measured_kept_and_shown(run, tmp_path, monkeypatch):
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
    for other in ((*words[:3], "--toy", "--results", "r"), (*words, "SOLVER.BASE_LR", "0.1")):
        code, _, err = run(*other)
        assert (code, "with other words, seeds or sizes" in err) == (2, True)
    (tmp_path / "r").rename(tmp_path / "moved")
    assert run(*words[:7], "moved", *words[8:])[0] == 0
    assert json.loads((tmp_path / "r.json").read_text()) == first, "wherever it lies"
    (tmp_path / "moved").rename(tmp_path / "r")
    code, _, err = run("show", "--results", "r", "--out", "page.md", "--json", "page.md")
    assert (code, "must go to another file" in err) == (2, True)
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda *words: False)  # a folder that can be read alone
        code, out, _ = run("show", "--results", "r")
    assert code == 0
    assert out.count("(toy)") == 3, "two cells, and the gain of one over the other"
    assert "Table 1" in out
    assert "Table 2" not in out
    assert "not measured" not in out
    code, out, _ = run(
        "show", "--results", "r", "--table", "1", "--row", "denoiserep", "--json", "shown.json"
    )
    assert (code, out.count("(toy)"), "baseline on" in out) == (0, 2, False)
    assert list(json.loads((tmp_path / "shown.json").read_text())) == ["table1-denoiserep-msmt17"]


@pytest.mark.slow
def test_a_model_of_another_run_is_refused_by_the_folder_to_delete(run, tmp_path):
    assert run("run", "--table", "1", "--toy", "--results", "r")[0] == 0
    (denoised,) = (tmp_path / "r" / "runs").rglob("denoised.pth")
    (baseline,) = (tmp_path / "r" / "runs").glob("*baseline*/*/baseline.pth")
    shutil.copy(baseline, denoised)
    code, out, _ = run("run", "--table", "1", "--toy", "--results", "r", "--again")
    assert code == 1
    assert f"delete {denoised.parent.relative_to(tmp_path)}" in out


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
            assert f"{cell.key}\n  no recipe here" in out
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

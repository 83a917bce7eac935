"""Trying a run out by tools/train.py: what is printed, the exit code, and that nothing is written."""

import json

import pytest
from scripts import load_script, run_script
from small import draw_people, small_words

from reid.engine.overfit_report import Attempt


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture
def train(people, tmp_path, monkeypatch, capsys):
    """Call the tool on flags and KEY VALUE words; its exit code, what it printed, and its JSON."""
    module = load_script(monkeypatch, "tools/train.py")

    def call(flags, *words):
        words = small_words(people, tmp_path / "run", "SOLVER.MAX_EPOCHS", "1", *words)
        capsys.readouterr()
        code = run_script(
            *(module, monkeypatch, "--config", "demo.yml", *flags, *words, "--json", tmp_path / "x.json")
        )
        assert not (tmp_path / "run").exists()
        figures = json.loads((tmp_path / "x.json").read_text()) if (tmp_path / "x.json").exists() else None
        return code, capsys.readouterr(), figures

    return call


def test_overfitting_ends_with_its_verdict(train):
    code, printed, figures = train(["--overfit", "4"], "DENOISE.MODE", "none")
    assert code == 0, printed.err
    assert printed.out.startswith("| phase ")
    assert printed.out.splitlines()[-1].startswith("verdict: the loss fell: baseline from ")
    assert (figures["steps"], figures["num_images"], figures["has_fallen"]) == (4, 16, True)


def test_a_loss_that_does_not_fall_exits_1_with_a_sentence(train):
    words = ("DENOISE.MODE", "none", "SOLVER.BASE_LR", "0")
    code, printed, figures = train(["--overfit", "2"], *words)
    assert code == 1, printed.err
    last = printed.out.splitlines()[-1]
    assert last.startswith("verdict: the loss did not fall: baseline from ")
    assert "raise SOLVER.BASE_LR" in last
    assert figures["has_fallen"] is False


def test_a_hundred_steps_are_the_default_also_before_key_value_words(train, monkeypatch):
    def attempt(run, stage, phase, batch, steps):
        return Attempt(stage.name, phase, {"loss": 2.0}, {"loss": 1.0})

    monkeypatch.setattr("reid.engine.overfit._attempt", attempt)
    assert train(["--overfit"])[2]["steps"] == 100


def test_a_dry_run_prints_tables_and_a_total(train):
    code, printed, figures = train(["--dry-run"])
    assert code == 0, printed.err
    assert "| stage " in printed.out
    assert "time: " in printed.out
    assert "an estimate from 3 timed steps" in printed.out
    assert printed.out.rstrip().endswith("the run can start")
    assert [row["phase"] for row in figures["phases"]] == ["baseline", "label_free"]
    rows = figures["phases"] + figures["evaluations"]
    assert figures["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))


def test_a_disk_that_is_too_small_exits_1(train, monkeypatch):
    monkeypatch.setattr("reid.engine.dry_run.free_space", lambda folder: 0)
    code, printed, figures = train(["--dry-run"], "DENOISE.MODE", "none")
    assert code == 1, printed.err
    assert printed.out.splitlines()[-1].startswith("warning: the disk lacks ")
    assert figures["disk"]["fits"] is False


@pytest.mark.parametrize(
    "flags", [("--dry-run", "--overfit", "5"), ("--resume", "--dry-run"), ("--resume", "--overfit", "5")]
)
def test_a_run_is_tried_out_in_one_way_or_resumed(train, flags):
    code, printed, figures = train(flags)
    assert code == 2
    (line,) = printed.err.splitlines()
    assert "not allowed with argument" in line
    assert (printed.out, figures) == ("", None)


@pytest.mark.parametrize(
    ("number", "needle"), [("0", "1 step or more, got 0"), ("-5", "1 step or more, got -5")]
)
def test_no_steps_are_wrong_input(train, number, needle):
    code, printed, _ = train(["--overfit", number])
    assert code == 2
    assert needle in printed.err.splitlines()[-1]

"""tools/check_data.py: what it prints, its exit status, its JSON."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from small import draw_people

from reid.utils.cli import run_tool

TOOL = Path(__file__).parents[2] / "tools" / "check_data.py"


@pytest.fixture
def people(tmp_path):
    return draw_people(tmp_path / "data" / "market1501", image_size=(32, 32), num_train_ids=2)


@pytest.fixture
def run(monkeypatch, capsys):
    """The exit status, standard output and standard error of the tool run in this process."""
    spec = importlib.util.spec_from_file_location("check_data_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["check_data.py", *map(str, words)])
        try:
            code = run_tool(module.main)
        except SystemExit as leave:
            code = leave.code
        return (code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("words", [[], ["--dataset", "market1501", "DATASETS.MSMT_USE_VAL", "False"]])
def test_a_set_that_is_well_exits_0(run, people, words):
    code, printed, _ = run("--root", people.parent, *words)
    assert code == 0
    assert printed.startswith("drawn people in Market-1501's layout in ")
    assert "| query " in printed
    assert printed.endswith("all is well\n\n")


def test_findings_exit_1_and_are_written_for_machines(run, people, tmp_path):
    broken = next((people / "query").iterdir())
    broken.write_bytes(b"")
    code, printed, _ = run("--root", people.parent, "--json", tmp_path / "report.json")
    assert code == 1
    assert f"{broken} is not: it is empty" in printed
    figures = json.loads((tmp_path / "report.json").read_text())
    assert (figures["is_well"], figures["sets"][0]["is_well"]) == (False, False)
    assert str(broken) in figures["sets"][0]["unreadable"][0]
    code, printed, _ = run("--root", people.parent, "--no-images")
    assert code == 0
    assert "images not opened" in printed


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["--root", "absent"], "the data root must be a folder, absent is not one"),
        (["--root", "."], ". must hold one of market1501, "),
        (["--root", ".", "--dataset", "markt1501"], "did you mean 'market1501'?"),
        (["--root", ".", "--dataset", "msmt17"], "MSMT17 not found"),
        ([], "--root"),
    ],
)
def test_wrong_input_exits_2_with_one_line(run, tmp_path, monkeypatch, words, needle):
    monkeypatch.chdir(tmp_path)
    code, printed, complaint = run(*words)
    assert (code, printed, complaint.count("\n")) == (2, "", 1)
    assert needle in complaint


def test_help_tells_the_exit_status(run):
    code, printed, _ = run("--help")
    assert code == 0
    assert "0 when all is well, 1 when something is not, 2 for wrong input" in printed
    assert "example: python tools/check_data.py" in printed

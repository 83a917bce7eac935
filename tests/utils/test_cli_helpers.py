"""Exit codes, one line on stderr, and the words of a command line."""

import io
import os
import subprocess
import sys

import pytest

from reid.utils import InputError
from reid.utils.cli import (
    OneLineParser,
    add_sweep_lists,
    config_parser,
    one_line,
    run_tool,
    with_ended_lists,
    with_number,
)


def test_a_job_that_is_done_exits_0_and_gets_the_words(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool.py", "--config", "a b.yml"])
    seen = []
    assert run_tool(seen.extend) == 0
    assert seen == ["--config", "a b.yml"]
    assert capsys.readouterr() == ("", "")
    assert run_tool(lambda words: 1) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("wrong\n  value"), "error: wrong value\n"),
        (FileNotFoundError(2, "No such file", "a.pth"), "error: [Errno 2] No such file: 'a.pth'\n"),
        (PermissionError(13, "Permission denied", "runs"), "error: [Errno 13] Permission denied: 'runs'\n"),
    ],
)
def test_input_that_must_be_mended_exits_2_with_one_line(error, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool.py"])

    def main(words):
        raise error

    assert run_tool(main) == 2
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("text", ["foo\ud800", "ключ"])
def test_names_that_a_terminal_cannot_show_are_printed_escaped(text, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tool.py"])
    out, err = (io.TextIOWrapper(io.BytesIO(), "ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    def main(words):
        sys.stdout.write(f"{text}\n")
        raise InputError(text)

    assert run_tool(main) == 2
    out.flush()
    err.flush()
    escaped = text.encode("ascii", "backslashreplace") + b"\n"
    assert out.buffer.getvalue() == escaped
    assert err.buffer.getvalue() == b"error: " + escaped


def test_an_interruption_exits_130_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool.py"])

    def main(words):
        raise KeyboardInterrupt

    assert run_tool(main) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


def test_what_does_not_fit_into_the_memory_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool.py"])

    def main(words):
        raise MemoryError("9 GiB\nare too many")

    assert run_tool(main) == 2
    assert capsys.readouterr() == (
        "",
        "error: the memory is not enough for what was given: 9 GiB are too many\n",
    )


# What torch's threads were seen to do while Python ended.
ABORTS = """
import atexit, os, sys
from reid.utils import InputError
from reid.utils.cli import run_tool

def main(words):
    atexit.register(os._exit, 134)
    print("a table")
    raise InputError("a.jpg is no image")

sys.exit(run_tool(main))
"""


@pytest.mark.parametrize(("size", "code"), [("1", 134), ("2", 2)])
def test_what_aborts_the_end_of_one_of_several_processes_does_not_hide_its_code(size, code):
    told = subprocess.run(
        [sys.executable, "-c", ABORTS],
        env=os.environ | {"WORLD_SIZE": size},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == code
    assert told.stderr.splitlines()[0] == "error: a.jpg is no image"
    assert told.stdout == "a table\n"


@pytest.mark.parametrize("error", [ValueError, RuntimeError, TypeError])
def test_a_fault_of_the_toolkit_keeps_its_traceback(error, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tool.py"])

    def main(words):
        raise error("ours")

    with pytest.raises(error, match="ours"):
        run_tool(main)


@pytest.mark.parametrize(
    "words", [[], ["--config"], ["--config", "a.yml", "--unknown"], ["--config", "a.yml", "--unknown\nline"]]
)
def test_wrong_usage_is_one_line_and_exit_2(words, capsys):
    parser = config_parser("What it does.", "tool.py --config a.yml")
    parser.prog = "tool.py"
    with pytest.raises(SystemExit) as caught:
        parser.parse_intermixed_args(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tool.py: error: ")
    assert err.endswith(" (see --help)\n")
    assert err.count("\n") == 1


def test_wrong_usage_goes_through_run_tool_with_exit_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool.py", "--oops"])
    with pytest.raises(SystemExit) as caught:
        run_tool(lambda words: OneLineParser().parse_args(words))
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("spelling", ["--config", "--config_file", "--config-file"])
def test_the_three_spellings_of_the_config_option_are_one(spelling):
    args = config_parser("x", "y").parse_intermixed_args([spelling, "a.yml", "SOLVER.SEED", "3"])
    assert (args.config, args.overrides) == ("a.yml", ["SOLVER.SEED", "3"])


def test_words_may_stand_around_options_and_be_negative():
    parser = config_parser("x", "y")
    parser.add_argument("--json")
    words = ["DATALOADER.NUM_WORKERS", "-1", "--config", "a.yml", "--json", "f", "SOLVER.SEED", "3"]
    assert parser.parse_intermixed_args(words).overrides == [
        "DATALOADER.NUM_WORKERS",
        "-1",
        "SOLVER.SEED",
        "3",
    ]


def test_help_shows_the_example(capsys):
    with pytest.raises(SystemExit) as caught:
        config_parser("What it does.", "tool.py --config a.yml").parse_args(["--help"])
    assert caught.value.code == 0
    assert "example: tool.py --config a.yml" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "line"), [("a\n  b \n\nc\n", "a b c"), ("plain", "plain"), ("", "")])
def test_one_line_joins_lines(text, line):
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--many", "--many 7"),
        ("--many KEY 1", "--many 7 KEY 1"),
        ("--many 3 KEY 1", "--many 3 KEY 1"),
        ("--many -1", "--many -1"),
        ("KEY 1 --many --other", "KEY 1 --many 7 --other"),
        ("--many=3 KEY 1", "--many=3 KEY 1"),
        ("KEY 1", "KEY 1"),
        ("", ""),
    ],
)
def test_an_option_without_its_number_gets_it(words, expected):
    assert with_number(words.split(), "--many", 7) == expected.split()


@pytest.mark.parametrize(
    "words",
    [
        "--steps 1 2 MODEL.NAME a OUTPUT_DIR b --targets mlp attn SOLVER.SEED 3 --config c",
        "--config c MODEL.NAME a OUTPUT_DIR b SOLVER.SEED 3 --steps 1 2 --targets mlp attn",
        "MODEL.NAME a --targets mlp attn OUTPUT_DIR b --config c SOLVER.SEED 3 --steps 1 2",
    ],
)
def test_lists_of_a_sweep_end_where_keys_begin(words):
    parser = config_parser("a tool", "tool.py")
    add_sweep_lists(parser)
    args = parser.parse_intermixed_args(with_ended_lists(words.split()))
    assert (args.config, args.steps, args.targets) == ("c", [1, 2], ["mlp", "attn"])
    assert args.overrides == ["MODEL.NAME", "a", "OUTPUT_DIR", "b", "SOLVER.SEED", "3"]
    assert (args.t_rule, args.beta_end, args.strength) == (None, None, None)


def test_values_of_other_options_that_look_like_keys_stay_theirs():
    assert with_ended_lists(["--json", "OUTPUT_DIR", "--steps", "1"]) == [
        "--json",
        "OUTPUT_DIR",
        "--steps",
        "1",
    ]


def test_a_reader_who_leaves_ends_the_tool_silently():
    """As ``head`` does: neither a traceback nor a message, and the exit code that a shell gives."""
    program = (
        "import sys; from reid.utils.cli import run_tool\n"
        "def main(words):\n    for n in range(100000): print(n)\n"
        "sys.exit(run_tool(main))"
    )
    words = [sys.executable, "-c", program]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tool:
        assert tool.stdout.readline() == b"0\n"
        tool.stdout.close()
        assert (tool.wait(), tool.stderr.read()) == (141, b"")

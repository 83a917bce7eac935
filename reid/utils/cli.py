"""What every command line does alike: arguments, exit codes, and faults in one line."""

import argparse
import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from reid.utils.errors import InputError
from reid.utils.files import check_writable

WRONG_INPUT, INTERRUPTED, NO_READER = 2, 130, 141
MOST_WORDS = 2000  # characters of a message
END_OF_LIST = "--end-of-list"
CONFIG_KEY = re.compile(r"OUTPUT_DIR|[A-Z]+\.[A-Z0-9_]+")
# The lists of a sweep: the field of a setting, the type of a value, what it is.
SWEEP_LISTS: dict[str, tuple[str, type, str]] = {
    "--targets": ("targets", str, "layers: mlp, attn, conv, all or regular expressions, each for itself"),
    "--t-rules": ("t_rule", str, "where t begins: depth, spread or a number"),
    "--steps": ("steps", int, "reverse steps a layer"),
    "--beta-ends": ("beta_end", float, "the schedule's last beta"),
    "--strengths": ("strength", float, "how much of the denoising is applied, 0 to 1"),
}


class OneLineParser(argparse.ArgumentParser):
    """Answers wrong usage with one line and exit code 2, without repeating the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Print the fault and exit."""
        self.exit(WRONG_INPUT, f"{self.prog}: error: {one_line(message)} (see --help)\n")


def tool_parser(description: str | None, example: str) -> OneLineParser:
    """A parser whose ``--help`` keeps the lines of the description and ends with an example."""
    return OneLineParser(
        description=description,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def config_parser(description: str, example: str, *, is_required: bool = True) -> OneLineParser:
    """A parser with ``--config FILE`` and trailing ``KEY VALUE`` words in ``overrides``.

    Args:
        description: What ``--help`` says first.
        example: A command line.
        is_required: Whether a file must be named; without one there are the defaults.
    """
    parser = tool_parser(description, example)
    parser.add_argument(
        "--config",
        "--config_file",
        "--config-file",
        required=is_required,
        metavar="FILE",
        help="a YAML file; a bare name is looked up in configs/",
    )
    add_overrides(parser)
    return parser


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json FILE``, a path that is known to be writable before anything is computed."""
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=_output_file,
        help="write the figures to FILE too, as fractions; /dev/stdout prints them",
    )


def add_try_outs(options: argparse._ActionsContainer) -> None:
    """Add ``--overfit STEPS`` and ``--dry-run``: ways to try a run out instead of running it.

    Args:
        options: A group of options of which one can be given.
    """
    options.add_argument(
        "--overfit",
        metavar="STEPS",
        type=int,
        help="train every phase on one batch, 100 steps by default, and say whether its loss falls; write"
        " nothing",
    )
    options.add_argument(
        "--dry-run",
        action="store_true",
        help="try everything for a few steps and say what time, memory and disk the run takes; write nothing",
    )


def add_comparisons(parser: argparse.ArgumentParser) -> None:
    """Add ``--controls`` and ``--seeds N``: more runs than one, and a table of them."""
    parser.add_argument(
        "--controls",
        action="store_true",
        help="also train the controls of the denoising, and compare all with the untouched model",
    )
    add_seeds_option(parser, "repeat with N seeds; mean and standard deviation")


def add_adapt_options(parser: argparse.ArgumentParser) -> None:
    """Add what an adaptation reads, ``--weights`` and ``--images`` or ``--features``, and what it writes."""
    add = parser.add_argument
    add("--weights", metavar="FILE", type=Path, help="any known format")
    add("--images", metavar="CSV", help="a list, or a data set under --root")
    add("--root", metavar="DIR", type=Path, default=Path(), help="what --images lies under; default: here")
    add("--features", metavar="FILE", type=Path, help="features with cameras, in place of weights and images")
    add(
        "--denoise",
        metavar=("IN", "OUT"),
        nargs=2,
        type=Path,
        action="append",
        default=[],
        help="with --features: write other features of the model denoised too; repeatable",
    )
    add("--out", metavar="FILE", type=Path, required=True, help="the checkpoint, or with --features the .npz")


def add_leaderboard_options(parser: argparse.ArgumentParser, action: str, tables: Sequence[int]) -> None:
    """Add what one of the leaderboard's actions reads: ``list``, ``run`` or ``show``.

    Args:
        parser: Of that action.
        action: Its name.
        tables: The numbers of the paper's tables.
    """
    add = parser.add_argument
    add("--table", metavar="N", type=int, help=f"one of {', '.join(map(str, tables))}; default: all")
    add(
        "--row",
        metavar="KEY",
        action="append",
        default=[],
        help="as 'list' names it; repeatable; default: all",
    )
    if action in ("list", "run"):
        add("--data", metavar="ROOT", type=_folder, default=Path("datasets"), help="default: datasets")
        what = "of weight files, at any depth; default: weights"
        add("--weights", metavar="ROOT", type=_folder, default=Path("weights"), help=what)
    if action in ("run", "show"):
        what = "cells as files, and what was trained; default: results"
        add("--results", metavar="DIR", type=_folder, default=Path("results"), help=what)
    if action == "run":
        add_seeds_option(parser, "runs of each cell; the paper has 5; default: 1")
        add("--toy", action="store_true", help="drawn people and small networks, in minutes")
        add("--again", action="store_true", help="measure finished cells again; what was trained is kept")
        add_overrides(parser)
    if action == "show":
        add("--out", metavar="FILE", type=_page_file, help="a .md or .html file instead of the terminal")
    add_json_option(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add trailing ``KEY VALUE`` words in ``overrides``."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY VALUE",
        help="configuration keys to override, e.g. SOLVER.BASE_LR 1e-3",
    )


def add_seeds_option(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--seeds N``, which does ``what``."""
    parser.add_argument("--seeds", type=_count, metavar="N", help=what)


def add_sweep_lists(parser: argparse.ArgumentParser) -> None:
    """Add the lists that a sweep varies; each is kept under the field of a setting that it is of."""
    for option, (field, kind, what) in SWEEP_LISTS.items():
        metavar = option.removeprefix("--").removesuffix("s").replace("-", "_").upper()
        parser.add_argument(option, dest=field, nargs="+", type=kind, metavar=metavar, help=what)
    parser.add_argument(END_OF_LIST, action="store_true", help=argparse.SUPPRESS)


def with_ended_lists(words: Sequence[str]) -> list[str]:
    """End the list of an option of a sweep before KEY VALUE words, which would be read into it.

    Example:
        >>> with_ended_lists(["--steps", "1", "2", "DENOISE.STRENGTH", "0.5"])
        ['--steps', '1', '2', '--end-of-list', 'DENOISE.STRENGTH', '0.5']
    """
    found: list[str] = []
    is_open = False
    for word in words:
        if word.startswith("--"):
            is_open = word in SWEEP_LISTS
        elif is_open and CONFIG_KEY.fullmatch(word):
            found.append(END_OF_LIST)
            is_open = False
        found.append(word)
    return found


def _count(word: str) -> int:
    if not (word.isdecimal() and len(word) < 5 and 1 <= int(word) <= 1000):
        raise argparse.ArgumentTypeError(f"must be a whole number in 1..1000, got {word[:20]!r}")
    return int(word)


def with_number(words: Sequence[str], option: str, default: int) -> list[str]:
    """Give ``option`` its default number where no number is behind it, so that KEY VALUE words may be.

    Example:
        >>> with_number(["--overfit", "SOLVER.SEED", "1"], "--overfit", 100)
        ['--overfit', '100', 'SOLVER.SEED', '1']
    """
    found: list[str] = []
    for place, word in enumerate(words, 1):
        found.append(word)
        if word == option and not "".join(words[place : place + 1]).removeprefix("-").isdecimal():
            found.append(str(default))
    return found


def _output_file(word: str) -> Path:
    try:
        check_writable(Path(word))
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(word)


def _folder(word: str) -> Path:
    if not word:
        raise argparse.ArgumentTypeError("must be named, got an empty text; the folder that you are in is .")
    return Path(word)


def _page_file(word: str) -> Path:
    if Path(word).suffix.lower() not in (".md", ".html"):
        raise argparse.ArgumentTypeError(f"must end in .md or .html, got {word!r}")
    return _output_file(word)


def run_tool(main: Callable[[Sequence[str]], int | None]) -> int:
    """Run ``main`` on the command line's words and return the exit code.

    0 when the job was done, or what ``main`` returns; 2 with one line on stderr for input that must be
    mended, also for files that cannot be read or written or do not fit into the memory; 130 when interrupted;
    141, silently, when who read the output has gone, as ``head`` does. Anything else is a fault of the
    toolkit and keeps its traceback.

    One of several processes (``WORLD_SIZE``) that did not do its job ends here, without returning: the
    threads of its broken connections may abort Python's orderly end, whose exit code would hide this one.
    """
    code = _run_main(main)
    if code and os.environ.get("WORLD_SIZE", "1") != "1":
        logging.shutdown()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    return code


def _run_main(main: Callable[[Sequence[str]], int | None]) -> int:
    for stream in (sys.stdout, sys.stderr):
        # Names out of files may hold what a terminal cannot show; the job is not to fail on telling them.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = main(sys.argv[1:]) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _leave_stdout()
        return NO_READER
    except (InputError, OSError) as error:
        sys.stderr.write(f"error: {one_line(str(error))}\n")
        return WRONG_INPUT
    except MemoryError as error:
        sys.stderr.write(f"error: {one_line(f'the memory is not enough for what was given: {error}')}\n")
        return WRONG_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def _leave_stdout() -> None:
    """Send what is left of the output nowhere, or Python would tell of the broken pipe at its end."""
    with contextlib.suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def one_line(message: str) -> str:
    """A message on one line, cut where it is longer than anybody reads: names out of files may be."""
    line = re.sub(r"\s*\n\s*", " ", message.strip())
    return line if len(line) <= MOST_WORDS else f"{line[:MOST_WORDS]} ... ({len(line)} characters)"

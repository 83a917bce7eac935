"""The paper's re-identification tables: list them, run their cells, and show paper beside measured."""

import sys
from argparse import Namespace
from collections.abc import Sequence

from reid.evaluation import format_table
from reid.leaderboard import TABLES, Cell, find_cells, recipe_of
from reid.leaderboard.build_cells import Plan, check_words, run_cells
from reid.leaderboard.listing import LIST_HEADER, as_dict, list_line
from reid.leaderboard.places import Disk
from reid.leaderboard.results import check_places, read_results
from reid.leaderboard.show import as_text, write_page
from reid.utils import check_writable, setup_logging, write_json
from reid.utils.cli import add_leaderboard_options, run_tool, tool_parser

EXAMPLE = "python tools/leaderboard.py run --table 2 --toy; each action has a --help of its own"


def list_cells(args: Namespace, cells: list[Cell]) -> int:
    """Every cell: what the paper says, how it is run, and whether all that it needs is on disk."""
    disk = Disk(args.data, args.weights)
    print(format_table(LIST_HEADER, [list_line(cell, disk) for cell in cells]))
    if args.json:
        write_json(args.json, [as_dict(cell) for cell in cells])
    return 0


def run(args: Namespace, cells: list[Cell]) -> int:
    """Train and test cells. Exit 0: every cell with a recipe was measured; 1: not all; 2: wrong input."""
    check_words(args.overrides)
    check_writable(args.results / "cell.json")
    check_places(args.results, args.json)
    disk = Disk(args.data, args.weights)
    plan = Plan(disk, args.results, args.seeds or 1, tuple(args.overrides), args.toy, args.again)
    setup_logging()
    results = run_cells(cells, plan)
    print(as_text(cells, results))
    if args.json:
        write_json(args.json, results)
    return int(any("missing" in results[cell.key] for cell in cells if recipe_of(cell)))


def show(args: Namespace, cells: list[Cell]) -> int:
    """Render finished cells as Markdown, or to a file as HTML: of all tables those that have any."""
    found = read_results(args.results, cells)
    check_places(args.results, args.out, args.json)
    tables = {cell.table for cell in cells if args.table or cell.key in found}
    print(write_page([cell for cell in cells if cell.table in tables], found, args.out))
    if args.json:
        write_json(args.json, found)
    return 0


ACTIONS = {"list": list_cells, "run": run, "show": show}


def main(words: Sequence[str]) -> int:
    parser = tool_parser(__doc__, EXAMPLE)
    parser.add_argument("action", choices=list(ACTIONS))
    action = parser.parse_args(words[:1]).action
    own = tool_parser(ACTIONS[action].__doc__, f"python tools/leaderboard.py {action} --table 2")
    own.prog = f"{parser.prog} {action}"
    add_leaderboard_options(own, action, list(TABLES))
    args = own.parse_intermixed_args(words[1:])
    return ACTIONS[action](args, find_cells(args.table, args.row))


if __name__ == "__main__":
    sys.exit(run_tool(main))

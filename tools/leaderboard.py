"""The paper's re-identification tables: list them, run their cells, and show paper beside measured.

Exit status of run: 0 when every cell with a recipe was measured, 1 when something is missing, 2 for wrong
input.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.evaluation import format_table
from reid.leaderboard import TABLES, describe, find_rows, find_table, recipe_of
from reid.leaderboard.build_cells import Plan, run_cell
from reid.leaderboard.results import read_result
from reid.leaderboard.show import HEADER, as_html, as_markdown, lines_of
from reid.utils import InputError, check_writable, setup_logging, write_atomically, write_json
from reid.utils.cli import add_json_option, add_seeds_option, run_tool, tool_parser


def main(words: Sequence[str]) -> int:
    parser = tool_parser(__doc__, "python tools/leaderboard.py run --table 2 --toy")
    parser.add_argument("action", choices=["list", "run", "show"])
    parser.add_argument("--table", type=int, help=f"one of {', '.join(map(str, TABLES))}; all for list")
    parser.add_argument("--row", action="append", default=[], help="a row's key; repeatable; default: all")
    parser.add_argument("--data", metavar="ROOT", type=Path, default=Path("datasets"), help="the data root")
    parser.add_argument(
        "--weights", metavar="ROOT", type=Path, default=Path("weights"), help="of weight files"
    )
    parser.add_argument("--results", metavar="DIR", type=Path, default=Path("results"))
    parser.add_argument("--out", metavar="FILE", type=Path, help="of show: a .md or .html file")
    parser.add_argument("--toy", action="store_true", help="drawn people and small networks, in minutes")
    parser.add_argument("--again", action="store_true", help="measure finished cells again")
    add_seeds_option(parser, "runs of each cell; the paper has 5")
    add_json_option(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="configuration keys to override")
    args = parser.parse_intermixed_args(words)
    if len(args.overrides) % 2:
        raise InputError(f"overrides must be KEY VALUE pairs, got {len(args.overrides)} words")
    tables = list(TABLES.values()) if args.table is None else [find_table(args.table)]
    cells = [c for table in tables for row in find_rows(table, args.row) for c in row.cells.values()]
    if args.action == "show":
        found = {c.key: r for c in cells if (r := read_result(args.results, c.key))}
        text = as_html(found) if args.out and args.out.suffix == ".html" else as_markdown(found)
        if args.out:
            check_writable(args.out)
            with write_atomically(args.out) as path:
                path.write_text(text + "\n", encoding="utf-8")
        print(f"wrote {args.out}" if args.out else text)
        return 0
    if args.action == "list":
        rows = [[c.key, describe(recipe_of(c)) or c.source] for c in cells]
        print(format_table(["cell", "recipe, or whose figures they are"], rows))
        return 0
    setup_logging()
    plan = Plan(
        args.data, args.weights, args.results, args.seeds or 1, tuple(args.overrides), args.toy, args.again
    )
    results = {c.key: run_cell(c, plan) for c in cells}
    print(format_table(HEADER, [line for c in cells for line in lines_of(c, results[c.key])]))
    for key, result in results.items():
        print(f"{key}: {'; '.join(result.get('missing') or result['differences'])}")
    if args.json:
        write_json(args.json, results)
    return int(any("missing" in results[c.key] for c in cells if recipe_of(c)))


if __name__ == "__main__":
    sys.exit(run_tool(main))

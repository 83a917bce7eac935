"""Paper beside measured, as text, Markdown and HTML."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from reid.evaluation import format_table
from reid.leaderboard.paper import COLUMNS, TABLES, Cell, Table

HEADER = ("row", "data set", "metric", "paper", "measured", "difference")
UNMEASURED = "not measured"


def lines_of(cell: Cell, result: Mapping[str, Any] | None) -> list[list[str]]:
    """A row of text for each metric of a cell: percent, of a time seconds and percent of overhead.

    Args:
        cell: What the paper says.
        result: What was measured, if anything was.
    """
    metrics = (result or {}).get("metrics", {})
    toy = " (toy)" if result and result.get("toy") else ""
    rows = []
    for name, value in cell.figures.items():
        scale, unit = (1, " s") if name == "seconds" else (100, "")
        own, apart = UNMEASURED, ""
        if name == "seconds" and "ms_per_image" in metrics:
            own = f"{metrics['ms_per_image']['mean']:.2f} ms/image{toy}"
        elif name in metrics:
            found = metrics[name]
            own = f"{100 * found['mean']:.2f}"
            own += (f" ± {100 * found['std']:.2f}" if "std" in found else "") + toy
            # Of drawn people and small networks a difference to the paper would mean nothing.
            apart = "" if toy else f"{100 * (found['mean'] - value):+.2f}"
        rows.append([cell.row, COLUMNS[cell.dataset], name, f"{scale * value:.2f}{unit}", own, apart])
    return rows


def table_rows(table: Table, results: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """All rows of text of a table; ``results`` are by the cells' keys."""
    cells = [cell for row in table.rows for cell in row.cells.values()]
    return [line for cell in cells for line in lines_of(cell, results.get(cell.key))]


def as_markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """All tables, and how what was measured differs from the paper."""
    parts = ["# Paper beside measured", ""]
    for table in TABLES.values():
        rows = [[escape(cell, quote=False) for cell in row] for row in table_rows(table, results)]
        parts += [
            f"## Table {table.number}: {_plain(table.title)}",
            "",
            format_table(HEADER, rows),
            "",
        ]
        parts += [f"- {_plain(note)}" for note in _notes(table, results)] + [""]
    return "\n".join(parts)


def as_html(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The same as one page, all text escaped."""
    parts = ['<!doctype html><html lang="en"><meta charset="utf-8"><title>Paper beside measured</title>']
    parts.append("<style>td,th{padding:.2em .6em;text-align:left}body{font-family:sans-serif}</style>")
    for table in TABLES.values():
        parts.append(f"<h2>Table {table.number}: {escape(table.title)}</h2><table>")
        parts += [_tr(HEADER, "th"), *(_tr(row, "td") for row in table_rows(table, results)), "</table><ul>"]
        parts += [f"<li>{escape(note)}</li>" for note in _notes(table, results)] + ["</ul>"]
    return "\n".join([*parts, "</html>"])


def _notes(table: Table, results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    cells = [cell for row in table.rows for cell in row.cells.values() if cell.key in results]
    return [
        f"{cell.key}: {results[cell.key]['protocol']}; differs from the paper:"
        f" {'; '.join(results[cell.key]['differences']) or 'in nothing that is known'}"
        for cell in cells
    ]


def _tr(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _plain(text: str) -> str:
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|")

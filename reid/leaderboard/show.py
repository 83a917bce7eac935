"""Paper beside measured, as text, Markdown and HTML."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from reid.evaluation import Table
from reid.evaluation.report import table_as_html
from reid.leaderboard.paper import COLUMNS, TABLES, Cell, baseline_of
from reid.leaderboard.recipes import recipe_of
from reid.utils import write_atomically

HEADER = ("row", "metric", "paper", "measured", "difference")
UNMEASURED, QUOTED = "not measured", "no recipe"
STYLE = (
    "body{font-family:sans-serif;max-width:70em;margin:auto;padding:1em}table{border-collapse:collapse}"
    "caption{text-align:left;font-weight:bold;padding:.5em 0}th,td{padding:.2em .8em;text-align:right}"
    "th:first-child{text-align:left}tbody th{font-weight:normal}tr{border-bottom:1px solid #ddd}"
    ".scroll{overflow-x:auto}"
)
Results = Mapping[str, Mapping[str, Any]]  # by the cells' keys


def lines_of(cell: Cell, result: Mapping[str, Any] | None) -> list[list[str]]:
    """A row of text for each metric of a cell, and one for the gain over its baseline.

    Percent; of a time seconds, or milliseconds an image, and percent of overhead.

    Args:
        cell: What the paper says.
        result: What was measured, if anything was.
    """
    metrics = (result or {}).get("metrics", {})
    is_toy = bool(result and result.get("toy"))
    toy = " (toy)" if is_toy else ""
    unmeasured = UNMEASURED if recipe_of(cell) else QUOTED
    name = f"{cell.row} on {COLUMNS[cell.dataset]}"
    rows = []
    for metric, value, form in _figures(cell):
        own, apart = unmeasured, ""
        if metric == "seconds" and "ms_per_image" in metrics:
            own = f"{metrics['ms_per_image']['mean']:.2f} ms/image{toy}"
        elif metric in metrics:
            found = metrics[metric]
            own = _spread(found, form) + toy
            # Of drawn people and small networks a difference to the paper would mean nothing.
            apart = "" if is_toy else f"{100 * (found['mean'] - value):+.2f}"
        paper = f"{value:.2f} s" if metric == "seconds" else f"{100 * value:{form}}"
        rows.append([name, metric.replace("_", " "), paper, own, apart])
    return rows


def table_of(cells: Sequence[Cell], results: Results, title: str = "") -> Table:
    """The rows of text of cells, as a table."""
    return Table(title, HEADER, [line for cell in cells for line in lines_of(cell, results.get(cell.key))])


def notes_of(result: Mapping[str, Any]) -> list[str]:
    """How a cell was measured or why it was not, one line each: the protocol, its differences, with what."""
    if "missing" in result:
        return list(result["missing"])
    versions, hardware = result["versions"], result["hardware"]
    packages = ", ".join(f"{name} {versions[name]}" for name in ("torch", "timm") if name in versions)
    machine = ", ".join(hardware.get("gpus") or [f"{hardware.get('cpus')} CPU cores"])
    return [
        f"protocol: {result['protocol']}",
        *(f"differs from the paper: {difference}" for difference in result["differences"]),
        f"measured {result['finished']} at commit {str(result.get('commit'))[:12]}, {packages}, {machine}",
    ]


def as_text(cells: Sequence[Cell], results: Results) -> str:
    """One table of all cells, then the notes of each that has any; where all is for the eye."""
    lines = [table_of(cells, results).as_text()]
    for cell in cells:
        if cell.key in results:
            lines += [cell.key, *(f"  {note}" for note in notes_of(results[cell.key]))]
    return "\n".join(lines)


def as_markdown(cells: Sequence[Cell], results: Results) -> str:
    """The paper's tables with what was measured, and how that differs from the paper."""
    parts = ["# Paper beside measured"]
    for title, own in _by_table(cells):
        table = table_of(own, results)
        rows = [[escape(str(cell), quote=False) for cell in row] for row in table.rows]
        parts += ["", f"## {_plain(title)}", "", Table("", HEADER, rows).as_text(), ""]
        for cell in own:
            if cell.key in results:
                parts += [f"- {cell.key}", *(f"  - {_plain(note)}" for note in notes_of(results[cell.key]))]
    return "\n".join(parts)


def as_html(cells: Sequence[Cell], results: Results) -> str:
    """The same as one page that needs nothing beside itself, all text escaped."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Paper beside measured</title>',
        f"<style>{STYLE}</style><h1>Paper beside measured</h1>",
    ]
    for title, own in _by_table(cells):
        parts.append(table_as_html(table_of(own, results, title)))
        for cell in own:
            if cell.key in results:
                notes = "".join(f"<li>{escape(note)}</li>" for note in notes_of(results[cell.key]))
                parts.append(f"<h4>{escape(cell.key)}</h4><ul>{notes}</ul>")
    return "\n".join([*parts, "</html>"])


def write_page(cells: Sequence[Cell], results: Results, path: Path | None) -> str:
    """Markdown, or where a file is named, that in the form that its ending tells.

    Returns:
        What to print.

    Raises:
        OSError: If the file cannot be written; an older one is then left as it was.
    """
    if path is None:
        return as_markdown(cells, results)
    page = as_html if path.suffix.lower() == ".html" else as_markdown
    with write_atomically(path) as temporary:
        temporary.write_text(page(cells, results) + "\n", encoding="utf-8")
    return f"wrote {path}"


def _figures(cell: Cell) -> list[tuple[str, float, str]]:
    """Name, the paper's value, and the form of percent of each metric; the gain in mAP last."""
    found = [(name, value, "+.2f" if name == "overhead" else ".2f") for name, value in cell.figures.items()]
    baseline = baseline_of(cell)
    if baseline is not None and "mAP" in cell.figures:
        found.append(("mAP_gain", cell.figures["mAP"] - baseline.figures["mAP"], "+.2f"))
    return found


def _spread(found: Mapping[str, Any], form: str) -> str:
    """Percent: a mean with its deviation over seeds, or the interval of its test."""
    text = f"{100 * found['mean']:{form}}"
    if "std" in found:
        return f"{text} ± {100 * found['std']:.2f}"
    if "interval" in found:
        low, high = found["interval"]
        return f"{text} ({100 * low:{form}} to {100 * high:{form}})"
    return text


def _by_table(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """The cells of each table, with its title."""
    groups = [(table, [cell for cell in cells if cell.table == table.number]) for table in TABLES.values()]
    return [(f"Table {table.number}: {table.title}, in %", own) for table, own in groups if own]


def _plain(text: str) -> str:
    return escape(" ".join(text.split()), quote=False).replace("|", "\\|")

"""The page: the template filled with what a report holds. Everything in it is escaped or made here."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from reid.evaluation.pictures import COLOURS
from reid.evaluation.report.choose import NUM_HARDEST
from reid.evaluation.report.content import Model, Report
from reid.evaluation.report.lists import query_articles
from reid.evaluation.report.plots import cmc_figure, histogram_figures
from reid.evaluation.report.thumbnails import Thumbnails
from reid.evaluation.report.words import curve_words, histogram_words, lists_words
from reid.evaluation.tables import Table


def render(report: Report) -> str:
    """One HTML page that needs nothing beside itself; the same bytes for the same report.

    Its own policy keeps a browser from loading anything and from running any script but the page's.

    Raises:
        InputError: If an image cannot be read.
        ValueError: If a table's row is not as wide as its header.
    """
    thumbnails, script = Thumbnails(report.images), _read("page.js")
    queries = query_articles(report, thumbnails)
    tables = [table_as_html(table) for table in report.tables]
    colours = "".join(f"--line{number}:{colour};" for number, colour in enumerate(COLOURS))
    return Template(_read("page.html")).substitute(
        title=escape(f"{report.dataset}: {report.backbone}"),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=f":root{{{colours}}}\n{_read('page.css')}",
        thumbnails=thumbnails.style(),
        script=script,
        dataset=escape(report.dataset),
        backbone=escape(report.backbone),
        protocol=escape(report.protocol),
        comparison="".join(tables[:1]),
        details="".join(tables[1:]),
        notes=_items(report.notes),
        curves=cmc_figure(report.models),
        curve_words=escape(curve_words(report)),
        histograms=histogram_figures(report),
        histogram_words=escape(histogram_words(report)),
        lists_words=_items(lists_words(report)),
        controls=_controls(report.models),
        num_hardest=NUM_HARDEST,
        queries=queries,
    )


def table_as_html(table: Table) -> str:
    """The first column names the row and is aligned left, the others are aligned right.

    Raises:
        ValueError: If a row is not as wide as the header.
    """
    for row in table.rows:
        if len(row) != len(table.header):
            raise ValueError(
                f"each row must have {len(table.header)} cells like the header, got {len(row)}: {row}"
            )
    caption = escape(table.title or "Models")
    header = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "".join(_table_row([escape(str(cell)) for cell in row]) for row in table.rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f"<table><caption>{caption}</caption><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _table_row(cells: Sequence[str]) -> str:
    name, *values = cells
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'


def _items(lines: Iterable[str]) -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def _controls(models: Sequence[Model]) -> str:
    """Buttons of the filters, and which models stand one above the other."""
    filters = [("all", "All"), ("hardest", "Hardest")]
    if len(models) > 1:
        filters[1:1] = [("became-right", "Became right"), ("became-wrong", "Became wrong")]
    buttons = "".join(
        f'<button type="button" data-filter="{name}" aria-pressed="false">{words} (<span>0</span>)</button>'
        for name, words in filters
    )
    if len(models) == 1:
        return buttons
    options = "".join(
        f'<option value="{number}">{escape(m.name)}</option>' for number, m in enumerate(models)
    )
    return (
        f'{buttons}<label>from <select id="before">{options}</select></label>'
        f'<label>to <select id="after">{options}</select></label>'
    )


def _read(name: str) -> str:
    return files("reid.evaluation.report").joinpath(name).read_text(encoding="utf-8")

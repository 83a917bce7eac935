"""Results as text: tables and the log lines people grep for."""

from collections.abc import Sequence
from dataclasses import dataclass

from reid.evaluation.evaluator import REPORTED_RANKS, EvaluationResult

# The columns of every table of results, and their keys for machines.
FIGURES = {"mAP": "mAP", "mINP": "mINP"} | {f"Rank-{rank}": f"R{rank}" for rank in REPORTED_RANKS}


@dataclass(frozen=True)
class Table:
    """A table before it has a form: a terminal's text and a web page are made of the same one.

    Args:
        title: What it is about; empty where what stands around it says so.
        header: One name a column.
        rows: One cell a column, shown by ``str``; the first names the row.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    def as_text(self) -> str:
        """The title on a line of its own, then the table."""
        return "\n".join([*([self.title] if self.title else []), format_table(self.header, self.rows)])


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Align cells in columns; the text is a GitHub Markdown table too.

    The first column is aligned left, the others right. A pipe inside a cell gets a backslash before it.

    Args:
        header: One name a column.
        rows: One cell a column, shown by ``str``.

    Raises:
        ValueError: If a row is not as wide as the header.

    Example:
        >>> for line in format_table(["model", "mAP"], [["baseline", "66.3"]]).splitlines():
        ...     line
        '| model    |  mAP |'
        '| :------- | ---: |'
        '| baseline | 66.3 |'
    """
    table = [[str(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    for row in table:
        if len(row) != len(header):
            raise ValueError(f"each row must have {len(header)} cells like the header, got {len(row)}: {row}")
    # Four characters hold the shortest rule that Markdown renders everywhere, '---:'.
    widths = [max(4, *(len(cell) for cell in column)) for column in zip(*table, strict=True)]
    rule = [":" + "-" * (widths[0] - 1)] + ["-" * (width - 1) + ":" for width in widths[1:]]
    lines = [_join(row, widths) for row in table]
    return "\n".join([lines[0], _join(rule, widths), *lines[1:]])


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"


def figure_cells(result: EvaluationResult) -> list[str]:
    """The cells of a result under ``FIGURES``, percent with one decimal.

    Over more than two trials each has its sample standard deviation behind it; two are no sample.
    """
    figures = result.as_dict()
    if len(result.trials) <= 2:
        return [f"{figures[key]:.1%}" for key in FIGURES.values()]
    return [f"{figures[key]:.1%} ± {100 * figures['std'][key]:.1f}" for key in FIGURES.values()]


def log_lines(result: EvaluationResult) -> list[str]:
    """Word a result in the lines that TransReID and its descendants log, percent with one decimal.

    Returns:
        ``mAP: 66.3%``, then ``CMC curve, Rank-1  :84.8%`` and the same for ranks 5 and 10.
    """
    ranks = [f"CMC curve, Rank-{rank:<3}:{result.cmc[rank - 1]:.1%}" for rank in REPORTED_RANKS]
    return [f"mAP: {result.mean_ap:.1%}", *ranks]

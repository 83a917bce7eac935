"""The tables of the DenoiseRep paper that are of re-identification, as data.

Figures are fractions here; the paper prints percent. A row is a method on a backbone, a cell that row on a
data set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from reid.leaderboard.figures import Line, read_figures
from reid.utils import InputError, unknown_choice

# The data sets' names in a configuration, to those in the tables. "time" is no data set: Table 4 times.
COLUMNS = {
    "msmt17": "MSMT17",
    "market1501": "Market-1501",
    "dukemtmc": "DukeMTMC-reID",
    "cuhk03": "CUHK03 labeled",
    "vehicleid": "VehicleID",
    "time": "inference time",
}
PROTOCOLS = {
    "msmt17": "MSMT17 (the paper names no version; its peers use V1, trained on train+val)",
    "market1501": "Market-1501, 750 identities",
    "dukemtmc": "DukeMTMC-reID, 702 identities",
    "cuhk03": "CUHK03 labeled boxes (the new protocol of 767/700 identities is our reading)",
    "vehicleid": "VehicleID (the paper does not name the test list)",
}
IMAGE_PROTOCOL = "single query, no re-ranking, mean of 5 runs"
TIME_PROTOCOL = (
    "seconds of an unnamed number of images; the change beside the baseline is what can be compared"
)


@dataclass(frozen=True)
class Cell:
    """One row of one table on one data set.

    Args:
        table: The paper's number of the table.
        row: The row's key.
        dataset: A key of ``COLUMNS``.
        figures: By the name of the metric, fractions: ``mAP``, ``R1``; of a time ``seconds`` and
            ``overhead``, its change beside the baseline.
        source: Where the figures stand, and of whom they are.
        protocol: What they were measured on, as far as the paper says.
    """

    table: int
    row: str
    dataset: str
    figures: Mapping[str, float]
    source: str
    protocol: str

    @property
    def key(self) -> str:
        """A name for files."""
        return f"table{self.table}-{self.row}-{self.dataset}"


@dataclass(frozen=True)
class Row:
    """A method on a backbone.

    Args:
        key: As users name it.
        method: As the paper names it.
        backbone: Likewise.
        cells: By data set; one that the paper leaves empty is not there.
    """

    key: str
    method: str
    backbone: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        number: The paper's.
        title: What it shows.
        rows: In the paper's order.
    """

    number: int
    title: str
    rows: tuple[Row, ...]


def find_cells(number: int | None = None, rows: Sequence[str] = ()) -> list[Cell]:
    """The cells of a table, or of all, in the paper's order.

    Args:
        number: The paper's of a table; None takes all.
        rows: Keys of rows; none takes all.

    Raises:
        InputError: If there is no such table of re-identification, or no row of a key in what is taken.
    """
    if number is not None and number not in TABLES:
        raise InputError(unknown_choice("table", str(number), map(str, TABLES)))
    tables = list(TABLES.values()) if number is None else [TABLES[number]]
    known = list(dict.fromkeys(row.key for table in tables for row in table.rows))
    for key in rows:
        if key not in known:
            raise InputError(unknown_choice(f"row of table {number}" if number else "row", key, known))
    wanted = [row for table in tables for row in table.rows if not rows or row.key in rows]
    return [cell for row in wanted for cell in row.cells.values()]


def baseline_of(cell: Cell) -> Cell | None:
    """The cell that a cell with DenoiseRep is compared with; None for one without."""
    suffix = "-denoiserep"
    key = cell.row.removesuffix(suffix) if cell.row.endswith(suffix) else "baseline"
    row = next((row for row in TABLES[cell.table].rows if row.key == key != cell.row), None)
    return row.cells.get(cell.dataset) if row else None


def _row(number: int, line: Line) -> Row:
    cells = {}
    for dataset, figures in line.figures.items():
        is_time = dataset == "time"
        source = f"DenoiseRep, Table {number}" + (f", quoting {line.quotes}" if line.quotes else "")
        cells[dataset] = Cell(
            table=number,
            row=line.key,
            dataset=dataset,
            figures=MappingProxyType(figures if is_time else _fractions(figures)),
            source=source,
            protocol=TIME_PROTOCOL if is_time else f"{PROTOCOLS[dataset]}, {_runs(line)}",
        )
    return Row(line.key, line.method, line.backbone, MappingProxyType(cells))


def _runs(line: Line) -> str:
    # Of methods that are quoted nothing says that they are means.
    return "single query, no re-ranking" if line.quotes else IMAGE_PROTOCOL


def _fractions(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value / 100, 6) for name, value in figures.items()}


def _table(number: int, title: str, lines: Sequence[Line]) -> Table:
    return Table(number, title, tuple(_row(number, line) for line in lines))


TITLES = {
    1: "Overview, its re-identification cell (mAP)",
    2: "Without labels, with labels, and merged data sets (mAP)",
    3: "Beside other methods (mAP / Rank-1)",
    4: "The final feature alone, and inference time (mAP)",
    6: "Vehicles (mAP / Rank-1)",
}
TABLES: Mapping[int, Table] = MappingProxyType(
    {number: _table(number, TITLES[number], lines) for number, lines in read_figures().items()}
)

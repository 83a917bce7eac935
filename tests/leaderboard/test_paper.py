"""The tables as data are the paper's, and every cell that has a recipe can be configured."""

import re

import pytest
from peers import SHARED

from reid.config import load_config
from reid.leaderboard import TABLES, baseline_of, find_cells, recipe_of
from reid.leaderboard.recipes import FOLDERS
from reid.utils import InputError

TEXT = SHARED / "spec" / "paper_tables.md"
CELLS = [cell for table in TABLES.values() for row in table.rows for cell in row.cells.values()]
RUNNABLE = [cell for cell in CELLS if recipe_of(cell)]
COLUMNS = {
    "DukeMTMC": "dukemtmc",
    "MSMT17": "msmt17",
    "Market-1501": "market1501",
    "CUHK03": "cuhk03",
    "CUHK03-L": "cuhk03",
}


def printed(number):
    """Rows of a table of the text: by data set, mAP and perhaps Rank-1 in percent."""
    text = TEXT.read_text(encoding="utf-8").split(f"Table {number} (")[1].split("\n\n")[0]
    head, _, *rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    names = [name.strip() for name in head]
    for row in rows:
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        yield {
            COLUMNS[name]: [float(part) for part in cell.split("/")]
            for name, cell in cells.items()
            if name in COLUMNS and cell != "-"
        }


@pytest.mark.skipif(not TEXT.exists(), reason="the paper's tables as text are not here")
@pytest.mark.parametrize("number", [2, 3, 4])
def test_figures_are_the_papers(number):
    for row, expected in zip(TABLES[number].rows, printed(number), strict=True):
        found = {
            name: [100 * cell.figures[metric] for metric in ("mAP", "R1") if metric in cell.figures]
            for name, cell in row.cells.items()
            if name != "time"
        }
        assert found == {name: pytest.approx(values) for name, values in expected.items()}


@pytest.mark.skipif(not TEXT.exists(), reason="the paper's tables as text are not here")
def test_figures_of_single_cells_are_the_papers():
    text = TEXT.read_text(encoding="utf-8")
    for number, pattern in (
        (1, r"MSMT17 mAP ([\d.]+)() -> ([\d.]+)()"),
        (6, r"mAP / Rank-1 ([\d.]+) / ([\d.]+) -> ([\d.]+) / (\d+\.\d+)"),
    ):
        values = [float(value) / 100 for value in re.search(pattern, text).groups() if value]
        cells = [cell for row in TABLES[number].rows for cell in row.cells.values()]
        assert [value for cell in cells for value in cell.figures.values()] == pytest.approx(values)


def test_by_hand_the_papers_main_row():
    cell = next(c for c in find_cells(3, ["transreid-ssl-vit-s-denoiserep"]) if c.dataset == "msmt17")
    assert dict(cell.figures) == pytest.approx({"mAP": 0.6733, "R1": 0.855})
    assert "Table 3" in cell.source
    baseline = baseline_of(cell)
    assert (baseline.row, baseline.dataset) == ("transreid-ssl-vit-s", "msmt17")
    assert dict(baseline.figures) == pytest.approx({"mAP": 0.663, "R1": 0.848})


def test_what_has_denoiserep_has_a_baseline_and_nothing_else_has():
    methods = {(table.number, row.key): row.method for table in TABLES.values() for row in table.rows}
    for cell in CELLS:
        assert (baseline_of(cell) is not None) == ("DenoiseRep" in methods[cell.table, cell.row])


def test_cells_have_names_of_their_own_source_and_protocol():
    assert len({cell.key for cell in CELLS}) == len(CELLS) > 60
    assert all(cell.source and cell.protocol for cell in CELLS)


def test_every_cell_with_denoiserep_has_a_recipe():
    names = {
        (cell.table, cell.row)
        for table in TABLES.values()
        for row in table.rows
        for cell in row.cells.values()
        if "DenoiseRep" in row.method
    }
    assert len(names) >= 10
    assert names <= {(cell.table, cell.row) for cell in RUNNABLE}


@pytest.mark.parametrize("cell", RUNNABLE, ids=lambda cell: cell.key)
def test_a_recipe_is_a_configuration_of_its_cell(cell):
    recipe = recipe_of(cell)
    files = [word for weights in recipe.weights for word in (weights.key, f"/w/{weights.name}")]
    cfg = load_config(recipe.config, [*recipe.network, *recipe.words, *files])
    assert [recipe.evaluated] == cfg.DATASETS.NAMES
    assert recipe.evaluated in (cell.dataset, "market1501")
    expected = {"baseline": "none", "label_free": "label_free", "merged": "label_free"}
    assert expected.get(recipe.variant, "alternating") == cfg.DENOISE.MODE
    assert (cfg.DENOISE.TARGETS == ["feature"]) == (recipe.variant == "final_only")
    assert set(recipe.data) <= set(FOLDERS)
    assert len(recipe.data) == (4 if recipe.variant == "merged" else 1)
    if "cuhk03" in recipe.data and recipe.variant != "merged":
        assert cfg.DATASETS.CUHK03_BOXES == "labeled"
    assert all(weights.source for weights in recipe.weights)


def test_methods_that_are_quoted_have_no_recipe():
    assert [recipe_of(cell) for cell in find_cells(3, ["mgn"])] == [None] * 3


def test_cells_are_found_by_table_and_row():
    assert find_cells() == CELLS
    assert {cell.table for cell in find_cells(4)} == {4}
    assert {cell.key for cell in find_cells(rows=["label-free"])} == {
        f"table2-label-free-{name}" for name in ("msmt17", "market1501", "dukemtmc", "cuhk03")
    }
    assert {cell.table for cell in find_cells(rows=["baseline"])} == {1, 2, 4, 6}


def test_unknown_tables_and_rows_list_the_known():
    with pytest.raises(InputError, match="1, 2, 3, 4, 6"):
        find_cells(5)
    with pytest.raises(InputError, match=r"row of table 1 'other'.*baseline, denoiserep"):
        find_cells(1, ["other"])
    with pytest.raises(InputError, match=r"unknown row 'other'.*label-free"):
        find_cells(rows=["other"])

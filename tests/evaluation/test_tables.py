import numpy as np
import pytest

from reid.evaluation import (
    FIGURES,
    EvaluationResult,
    RetrievalMetrics,
    Table,
    figure_cells,
    format_table,
    log_lines,
)


def test_columns_are_aligned():
    table = format_table(["model", "mAP"], [["baseline", "66.3"], ["fused", 7]])
    assert table.splitlines() == [
        "| model    |  mAP |",
        "| :------- | ---: |",
        "| baseline | 66.3 |",
        "| fused    |    7 |",
    ]


def test_one_column_without_rows():
    assert format_table(["a"], []).splitlines() == ["| a    |", "| :--- |"]


def test_pipes_in_cells_do_not_split_them():
    assert "| a\\|b |" in format_table(["a|b"], [])


def test_ragged_rows_are_refused():
    with pytest.raises(ValueError, match="must have 2 cells like the header, got 1"):
        format_table(["a", "b"], [["1", "2"], ["3"]])


CMC = np.array([0.848, 0.86, 0.87, 0.88, 0.921, 0.93, 0.93, 0.93, 0.93, 1.0])
RESULT = EvaluationResult((RetrievalMetrics(0.6634, 0.5, CMC, np.array([0.6634]), 1, 1, 10),))


def test_a_result_s_cells_stand_under_their_names():
    assert list(zip(FIGURES, figure_cells(RESULT), strict=True)) == [
        ("mAP", "66.3%"),
        ("mINP", "50.0%"),
        ("Rank-1", "84.8%"),
        ("Rank-5", "92.1%"),
        ("Rank-10", "100.0%"),
    ]


def test_several_draws_show_their_deviation_and_two_sides_do_not():
    other = RetrievalMetrics(0.7634, 0.5, CMC, np.array([0.7634]), 1, 1, 10)
    three = figure_cells(EvaluationResult((*RESULT.trials, other, *RESULT.trials)))
    assert three[:2] == ["69.7% ± 5.8", "50.0% ± 0.0"]
    assert figure_cells(EvaluationResult((*RESULT.trials, other)))[0] == "71.3%"


def test_log_lines_are_those_people_grep_for():
    assert log_lines(RESULT) == [
        "mAP: 66.3%",
        "CMC curve, Rank-1  :84.8%",
        "CMC curve, Rank-5  :92.1%",
        "CMC curve, Rank-10 :100.0%",
    ]


def test_a_table_has_its_title_above_it_and_none_without():
    rows = [["baseline", 66.3]]
    table = format_table(["model", "mAP"], rows)
    assert Table("Market-1501", ["model", "mAP"], rows).as_text() == f"Market-1501\n{table}"
    assert Table("", ["model", "mAP"], rows).as_text() == table

"""Paper beside measured: percent, deviations, toys that are called toys, and text that is escaped."""

import pytest

from reid.leaderboard import find_rows, find_table
from reid.leaderboard.results import read_result
from reid.leaderboard.show import as_html, as_markdown, lines_of
from reid.utils import InputError, write_json

CELL = find_rows(find_table(6), ["denoiserep"])[0].cells["vehicleid"]


def result(**changes):
    metrics = {"mAP": {"mean": 0.78, "std": 0.011}, "R1": {"mean": 0.7}}
    plain = {"cell": CELL.key, "metrics": metrics, "toy": False, "protocol": "<b>|x", "differences": ["one"]}
    return plain | changes


def test_by_hand_a_line_for_each_metric():
    assert lines_of(CELL, result()) == [
        ["denoiserep", "VehicleID", "mAP", "77.30", "78.00 ± 1.10", "+0.70"],
        ["denoiserep", "VehicleID", "R1", "70.20", "70.00", "-0.20"],
    ]


def test_what_was_not_measured_says_so():
    assert [line[4:] for line in lines_of(CELL, None)] == [["not measured", ""]] * 2


def test_a_toy_is_named_and_has_no_difference_to_the_paper():
    assert [line[4:] for line in lines_of(CELL, result(toy=True))] == [
        ["78.00 ± 1.10 (toy)", ""],
        ["70.00 (toy)", ""],
    ]


def test_both_pages_hold_the_cell_and_escape_its_text():
    found = {CELL.key: result()}
    for page in (as_markdown(found), as_html(found)):
        assert "78.00 ± 1.10" in page
        assert "<b>" not in page
        assert "&lt;b&gt;" in page
    assert "&lt;b&gt;\\|x" in as_markdown(found)


def test_results_are_read_back_or_refused(tmp_path):
    assert read_result(tmp_path, CELL.key) is None
    write_json(tmp_path / f"{CELL.key}.json", result())
    assert read_result(tmp_path, CELL.key) == result()
    write_json(tmp_path / f"{CELL.key}.json", result(cell="another"))
    with pytest.raises(InputError, match="it is another"):
        read_result(tmp_path, CELL.key)
    (tmp_path / f"{CELL.key}.json").write_text("{")
    with pytest.raises(InputError, match="delete it"):
        read_result(tmp_path, CELL.key)

"""Paper beside measured: percent, deviations, gains, toys that are called toys, and text that is escaped."""

import json
import os
from pathlib import Path

import pytest

from reid.leaderboard import find_cells
from reid.leaderboard.results import check_places, environment, read_result, read_results
from reid.leaderboard.show import as_html, as_markdown, as_text, lines_of, notes_of, write_page
from reid.utils import InputError, write_json

(CELL,) = find_cells(6, ["denoiserep"])
(TIME,) = [cell for cell in find_cells(4, ["final-only"]) if cell.dataset == "time"]
(QUOTED,) = [cell for cell in find_cells(3, ["mgn"]) if cell.dataset == "cuhk03"]
ROW = "denoiserep on VehicleID"


def result(**changes):
    metrics = {
        "mAP": {"mean": 0.78, "std": 0.011},
        "R1": {"mean": 0.7},
        "mAP_gain": {"mean": 0.0123, "interval": [-0.001, 0.0204]},
    }
    plain = {"cell": CELL.key, "metrics": metrics, "toy": False, "protocol": "<b>|x", "differences": ["one"]}
    return environment() | plain | {"digest": "d"} | changes


def test_by_hand_a_line_for_each_metric_and_one_for_the_gain():
    assert lines_of(CELL, result()) == [
        [ROW, "mAP", "77.30", "78.00 ± 1.10", "+0.70"],
        [ROW, "R1", "70.20", "70.00", "-0.20"],
        [ROW, "mAP gain", "+0.90", "+1.23 (-0.10 to +2.04)", "+0.33"],
    ]


def test_time_is_told_in_milliseconds_beside_the_papers_seconds_and_its_overhead_in_percent():
    metrics = {"ms_per_image": {"mean": 2.5}, "overhead": {"mean": 0.1}}
    name = "final-only on inference time"
    assert lines_of(TIME, result(metrics=metrics)) == [
        [name, "seconds", "0.39 s", "2.50 ms/image", ""],
        [name, "overhead", "+15.00", "+10.00", "-5.00"],
    ]


def test_what_was_not_measured_says_so_and_what_cannot_be_is_told_apart():
    assert [line[3:] for line in lines_of(CELL, None)] == [["not measured", ""]] * 3
    assert [line[3:] for line in lines_of(QUOTED, None)] == [["no recipe", ""]] * 2


def test_a_toy_is_named_and_has_no_difference_to_the_paper():
    assert [line[3:] for line in lines_of(CELL, result(toy=True))] == [
        ["78.00 ± 1.10 (toy)", ""],
        ["70.00 (toy)", ""],
        ["+1.23 (-0.10 to +2.04) (toy)", ""],
    ]


def test_notes_tell_protocol_differences_and_with_what():
    made = {"versions": {"torch": "2", "timm": "1"}, "finished": "2026-01-01", "commit": "a" * 40}
    lines = notes_of(result(**made, hardware={"gpus": ["H200"], "cpus": 2}))
    assert lines == [
        "protocol: <b>|x",
        "differs from the paper: one",
        "measured 2026-01-01 at commit aaaaaaaaaaaa, torch 2, timm 1, H200",
    ]
    assert "2 CPU cores" in notes_of(result(hardware={"gpus": [], "cpus": 2}))[-1]
    assert notes_of({"cell": "x", "missing": ["this", "that"]}) == ["this", "that"]


def test_every_page_holds_the_cell_and_pages_escape_its_text():
    cells, found = [CELL, QUOTED], {CELL.key: result()}
    assert "  protocol: <b>|x" in as_text(cells, found)
    for page in (as_markdown(cells, found), as_html(cells, found)):
        assert "78.00 ± 1.10" in page
        assert "<b>" not in page
        assert "&lt;b&gt;" in page
        assert "Table 6" in page
        assert "Table 3" in page
        assert "Table 2" not in page
    assert "&lt;b&gt;\\|x" in as_markdown(cells, found)


def test_a_page_has_the_form_of_its_ending(tmp_path):
    for name, start in (("a.md", "# Paper"), ("b.html", "<!doctype html>"), ("c.HTML", "<!doctype html>")):
        assert write_page([CELL], {}, tmp_path / name) == f"wrote {tmp_path / name}"
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    assert write_page([CELL], {}, None) == as_markdown([CELL], {})


def test_results_are_read_back_or_are_not_there(tmp_path):
    assert read_result(tmp_path, CELL.key) is None
    write_json(tmp_path / f"{CELL.key}.json", result())
    assert read_result(tmp_path, CELL.key) == result()
    assert read_results(tmp_path, [CELL, QUOTED]) == {CELL.key: result()}
    with pytest.raises(InputError, match="is no folder"):
        read_results(tmp_path / "none", [CELL])
    with pytest.raises(InputError, match="must hold a finished cell"):
        read_results(tmp_path, [QUOTED])


def broken(**changes):
    return json.dumps(result(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property"),
        ("[" * 100_000, "must be the result"),
        ("[]", "must be the result"),
        (broken(cell="another"), "of another cell"),
        (broken(differences="one"), "no text"),
        (broken(differences=[1]), "no text"),
        (broken(protocol=None), "no text"),
        (broken(toy="no"), "neither true nor false"),
        (broken(commit="\ud800"), "surrogates not allowed"),
        (broken(metrics=[]), "must be the result"),
        (broken(metrics={"R1": {"mean": 1}, "mAP": {}}), "mean"),
        (broken(metrics={"R1": {"mean": 1}, "mAP": {"mean": "x"}}), "no number"),
        (broken(metrics={"R1": {"mean": 1}, "mAP": {"mean": None}}), "no number"),
        (broken(metrics={"mAP": {"mean": float("nan")}}), "NaN is no finite number"),
        (broken(metrics={"R1": {"mean": 1}, "mAP": {"mean": 1, "interval": [1]}}), "no number"),
        (broken(metrics={"R1": {"mean": 1}, "mAP": {"mean": True}}), "no number"),
        (broken(metrics={"R1": {"mean": 1}, "mAP": {"mean": 1e308}}), "no number"),
        (broken(metrics={"mAP": {"mean": 10**400}}), "must be the result"),
        (broken(metrics={"R1": {"mean": 1}, "mAP": {"mean": 1, "interval": 3}}), "must be the result"),
        (broken(versions=[]), "versions"),
        (broken(hardware={"gpus": [1]}), "hardware"),
        (broken(hardware={"gpus": 3}), "must be the result"),
        (broken(protocol="\ud800"), "surrogates"),
        (broken(metrics={"mAP": {"mean": 0.5}}), "R1 is missing"),
        (json.dumps({"cell": CELL.key, "metrics": {}}), "protocol"),
    ],
)
def test_what_is_no_result_is_refused_by_its_name(tmp_path, text, message):
    (tmp_path / f"{CELL.key}.json").write_text(text)
    with pytest.raises(InputError, match=rf"{CELL.key}\.json must be the result of .*: .*; delete it"):
        read_result(tmp_path, CELL.key)
    with pytest.raises(InputError, match=message):
        read_result(tmp_path, CELL.key)


def test_outputs_that_would_replace_a_cell_or_each_other_are_refused(tmp_path):
    check_places(tmp_path, tmp_path / "figures.json", None, tmp_path / "page.md")
    for outputs in ([tmp_path / f"{TIME.key}.json"], [None, tmp_path / f"{CELL.key}.json"], ["a", "a"]):
        with pytest.raises(InputError, match="must go to another file"):
            check_places(tmp_path, *(path and Path(path) for path in outputs))


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere"), os.mkfifo])
def test_what_stands_in_a_cells_place_and_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / f"{CELL.key}.json")
    with pytest.raises(InputError, match="is no regular file; remove it"):
        read_result(tmp_path, CELL.key)

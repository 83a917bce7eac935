"""The words of a verdict, from losses by hand."""

import json

import pytest

from reid.engine.overfit_report import Attempt, OverfitReport
from reid.engine.phases import BACKBONE, BASELINE, DENOISERS, LABEL_FREE


def attempt(stage, phase, before, after):
    return Attempt(stage, phase, {"loss": before}, {"loss": after})


@pytest.mark.parametrize(
    ("stage", "phase", "before", "after", "words"),
    [
        ("baseline", BASELINE, 5.0, 2.4, "baseline from 5.0000 to 2.4000 (below half)"),
        ("baseline", BASELINE, 5.0, 2.6, "baseline from 5.0000 to 2.6000 (not below half)"),
        ("label_free", LABEL_FREE, 8.0, 7.96, "label_free from 8.0000 to 7.9600 (by 0.50%)"),
        ("alternating", DENOISERS, 4.0, 3.0, "alternating, denoisers from 4.0000 to 3.0000 (by 25.00%)"),
        (
            *("baseline", BASELINE, 5.0, 5.0),
            "baseline from 5.0000 to 5.0000: raise SOLVER.BASE_LR or take more steps, or check the labels",
        ),
        (
            *("label_free", LABEL_FREE, 8.0, 8.1),
            "label_free from 8.0000 to 8.1000: lower DENOISE.BASE_LR or take more steps",
        ),
        (
            *("alternating", BACKBONE, 0.0, 0.0),
            "alternating, backbone from 0.0000 to 0.0000: there is none to lower, check the weights of the"
            " losses",
        ),
    ],
)
def test_a_verdict_says_how_the_loss_moved_and_what_to_change(stage, phase, before, after, words):
    assert attempt(stage, phase, before, after).verdict() == words


@pytest.mark.parametrize(("after", "has_fallen"), [(7.9999, True), (7.99999, False), (8, False), (9, False)])
def test_rounding_is_no_fall(after, has_fallen):
    assert attempt("label_free", LABEL_FREE, 8.0, after).has_fallen == has_fallen


def test_the_last_line_is_one_verdict_over_all_phases():
    good, bad = attempt("baseline", BASELINE, 5.0, 1.0), attempt("label_free", LABEL_FREE, 8.0, 8.0)
    report = OverfitReport([good], 30, 16)
    assert report.is_well
    assert report.as_text().splitlines()[-1] == f"verdict: the loss fell: {good.verdict()}"
    assert "denoising loss" not in report.as_text()
    report = OverfitReport([good, bad], 30, 16)
    assert not report.is_well
    last = f"verdict: the loss did not fall: {bad.verdict()}; it fell: {good.verdict()}"
    assert report.as_text().splitlines()[-1] == last
    assert "a small fall is a fall" in report.as_text()


def test_the_table_has_a_row_a_figure_and_machines_get_the_same():
    figures = {"loss": 5.0, "id": 4.0, "classified_right": 0.25}
    report = OverfitReport([Attempt("baseline", BASELINE, figures, figures | {"loss": 1.0})], 30, 16)
    lines = report.as_text().splitlines()
    assert lines[0].split("|")[1:-1][3].strip() == "after 30 steps"
    assert [line.split("|")[2].strip() for line in lines[2:5]] == ["loss", "id", "classified right"]
    assert lines[4].split("|")[3].strip() == "25.0%"
    (found,) = json.loads(json.dumps(report.as_dict()))["phases"]
    assert found["after"]["loss"] == 1.0
    assert found["fall"] == pytest.approx(0.8)

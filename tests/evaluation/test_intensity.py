"""The picture of a sweep: every setting at its change, the untouched model as a line, intervals as bars."""

import numpy as np
import pytest
from PIL import Image

from reid.evaluation import Interval
from reid.evaluation.intensity import Mark, draw_intensity
from reid.utils import InputError

LINEAR = [
    Mark(1, "own setting", 0.02, 0.5, 0.25, 0.01, Interval(-0.125, -0.25, 0.0)),
    Mark(2, "steps", 0.04, 0.75, 0.5, 0.05, Interval(0.125, 0.0625, 0.25)),
    Mark(3, "steps", 0.05, 0.625, 0.375, 0.1, Interval(0.0, -0.125, 0.125)),
]


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """The axes by what is up in them."""
    figures = []
    monkeypatch.setattr("reid.evaluation.intensity.save_png", lambda figure, path: figures.append(figure))

    def call(marks):
        draw_intensity(marks, 0.625, 0.5, tmp_path / "sweep.png", "title", "note")
        return {axes.get_ylabel(): axes for axes in figures[-1].axes}

    return call


def lines_in(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def test_each_panel_shows_its_numbers_over_the_change(draw):
    panels = draw(LINEAR)
    assert list(panels) == ["mAP", "Rank-1", "1 - cosine to untouched"]
    expected = {
        "mAP": ([50], [75, 62.5], 62.5),
        "Rank-1": ([25], [50, 37.5], 50),
        "1 - cosine to untouched": ([0.01], [0.05, 0.1], 0),
    }
    for name, (own, steps, untouched) in expected.items():
        lines = lines_in(panels[name])
        assert {height for _, height in lines["untouched"]} == {untouched}
        assert lines["own setting"] == [[0.02, *own]]
        assert lines["steps"] == [[0.04, steps[0]], [0.05, steps[1]]]
        assert sorted(text.get_text() for text in panels[name].texts) == ["1", "2", "3"]
        assert panels[name].get_xscale() == "linear"


def test_a_bar_is_the_interval_around_the_untouched_line(draw):
    (bars,) = draw(LINEAR)["mAP"].collections
    ends = np.array([bar.tolist() for bar in bars.get_segments()])
    np.testing.assert_allclose(ends[:, :, 0], [[0.02] * 2, [0.04] * 2, [0.05] * 2])
    np.testing.assert_allclose(ends[:, :, 1], [[37.5, 62.5], [68.75, 87.5], [50, 75]])


def test_changes_far_apart_are_logarithmic_and_none_has_no_place_there(draw):
    marks = [LINEAR[0]._replace(change=change, number=n) for n, change in enumerate((1e-6, 1e-2, 0.0))]
    axes = draw(marks)["mAP"]
    assert axes.get_xscale() == "log"
    assert [x for x, _ in lines_in(axes)["own setting"]] == [1e-6, 1e-2]
    alone = draw([LINEAR[0]._replace(change=0.0)])["mAP"]
    assert (alone.get_xscale(), lines_in(alone)["own setting"]) == ("linear", [[0, 50]])


def test_numbers_stand_away_from_the_nearer_neighbour(draw):
    texts = {text.get_text(): text.get_ha() for text in draw(LINEAR)["mAP"].texts}
    assert texts == {"1": "right", "2": "right", "3": "left"}


def test_no_setting_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one setting"):
        draw_intensity([], 0.5, 0.5, tmp_path / "sweep.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("marks", [LINEAR, [LINEAR[0]._replace(change=0.0, group="$a")]])
def test_the_png_is_one(tmp_path, marks):
    draw_intensity(marks, 0.625, 0.5, tmp_path / "sweep.png", "$title", "a note " * 60)
    with Image.open(tmp_path / "sweep.png") as picture:
        assert (picture.format, picture.width) == ("PNG", 1425)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.png"]


def test_next_to_no_turn_has_short_ticks_that_leave_the_label_in_the_picture(draw):
    marks = [mark._replace(turn=mark.turn * 1e-7) for mark in LINEAR]
    axes = draw(marks)["1 - cosine to untouched"]
    axes.figure.draw_without_rendering()
    assert max(len(text.get_text()) for text in axes.get_yticklabels()) < 8
    assert axes.yaxis.label.get_window_extent().x0 > 0

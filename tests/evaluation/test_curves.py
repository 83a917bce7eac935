"""The picture of a run: what its panels hold, and that it can be read with one epoch and with many."""

import math

import numpy as np
import pytest
from full_disk import full_disk
from PIL import Image

from reid.evaluation import draw_curves
from reid.evaluation.curves import SHADES
from reid.utils import InputError


def epoch_row(epoch, phase="baseline", stage=None, **figures):
    row = {"stage": stage or phase, "phase": phase, "epoch": epoch, "loss": float(epoch)}
    return row | figures | {"lr": 0.1 / epoch, "images_per_s": 9.0, "seconds": 1.0, "gpu_memory_mb": 10}


def evaluation_row(epoch, dataset="market1501", mean_ap=0.5):
    figures = {"mAP": mean_ap, "R1": 0.75, "R5": 0.875}
    return {"stage": "baseline", "epoch": epoch, "dataset": dataset, "evaluation": figures}


RUN = [
    epoch_row(1, id=2.0, triplet=0.5),
    epoch_row(2, id=1.0, triplet=0.25),
    evaluation_row(2),
    epoch_row(3, "label_free", denoise=41.0),
    epoch_row(4, "label_free", denoise=40.0),
    evaluation_row(4, mean_ap=0.625),
]
ALTERNATING = [
    epoch_row(1, "denoisers", "alternating", id=1.0, denoise=9.0),
    epoch_row(2, "backbone", "alternating", id=0.5),
    epoch_row(3, "denoisers", "alternating", id=0.25, denoise=8.0),
]


@pytest.fixture
def panels(monkeypatch, tmp_path):
    """Draw rows; the axes by what is up in them."""
    figures = []
    monkeypatch.setattr("reid.evaluation.curves.save_png", lambda figure, path: figures.append(figure))

    def draw(rows):
        draw_curves(rows, tmp_path / "curves.png")
        return {axes.get_ylabel(): axes for axes in figures[-1].axes}

    return draw


def lines_in(axes):
    """By label, the points of each line; a gap is a None."""
    points = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    return {
        label: [None if math.isnan(y) else (x, pytest.approx(y)) for x, y in line]
        for label, line in points.items()
    }


def test_each_panel_shows_its_numbers_over_epochs(panels):
    found = panels(RUN)
    assert list(found) == ["loss", "denoising loss", "learning rate", "mAP and Rank-1"]
    assert lines_in(found["loss"]) == {
        "loss": [(1, 1), (2, 2), None, (3, 3), (4, 4), None],
        "id": [(1, 2), (2, 1), None, None],
        "triplet": [(1, 0.5), (2, 0.25), None, None],
    }
    assert lines_in(found["denoising loss"]) == {"denoise": [None, (3, 41), (4, 40), None]}
    rates = {"lr": [(1, 0.1), (2, 0.05), None, (3, 0.1 / 3), (4, 0.025), None]}
    assert lines_in(found["learning rate"]) == rates
    assert lines_in(found["mAP and Rank-1"]) == {
        "market1501 mAP": [(2, 50), (4, 62.5)],
        "market1501 Rank-1": [(2, 75), (4, 75)],
    }


def test_the_loss_ends_with_a_phase_and_its_parts_go_on(panels):
    """In the next phase the loss is another sum; a part is what it was."""
    found = panels(ALTERNATING)
    assert lines_in(found["loss"])["loss"] == [(1, 1), None, (2, 2), None, (3, 3), None]
    assert lines_in(found["loss"])["id"] == [(1, 1), (2, 0.5), (3, 0.25), None]
    assert lines_in(found["denoising loss"])["denoise"] == [(1, 9), (3, 8), None]


def test_epochs_that_were_passed_over_are_gaps(panels):
    """As where a control trains the backbone alone."""
    axes = panels([epoch_row(epoch, "backbone", "alternating") for epoch in (1, 2, 5)])["loss"]
    assert lines_in(axes)["loss"] == [(1, 1), (2, 2), None, (5, 5), None]
    shaded = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches)
    assert shaded == [(0.5, 2.5), (4.5, 5.5)]


def test_panels_of_what_there_is_not_are_left_out(panels):
    assert list(panels([epoch_row(1)])) == ["loss", "learning rate"]


def test_several_sets_are_told_apart_and_long_names_are_cut(panels):
    path = "mot:/data/$100/where/videos/are"
    rows = [epoch_row(1), evaluation_row(1), evaluation_row(1, path)]
    labels = list(lines_in(panels(rows)["mAP and Rank-1"]))
    assert labels[:2] == ["market1501 mAP", "market1501 Rank-1"]
    assert labels[2:] == ["…here/videos/are mAP", "…here/videos/are Rank-1"]


@pytest.mark.parametrize(
    ("values", "scale"), [([1.0, 0.5], "linear"), ([100.0, 0.5], "log"), ([1, 0], "linear")]
)
def test_a_steep_loss_has_a_logarithmic_axis(panels, values, scale):
    rows = [epoch_row(1, id=values[0]) | {"loss": 1.0}, epoch_row(2, id=values[1]) | {"loss": 1.0}]
    assert panels(rows)["loss"].get_yscale() == scale


@pytest.mark.parametrize(("rate", "scale"), [(0.1, "log"), (0.0, "linear")])
def test_the_rate_has_a_logarithmic_axis_unless_it_is_0(panels, rate, scale):
    assert panels([epoch_row(1) | {"lr": rate}])["learning rate"].get_yscale() == scale


@pytest.mark.parametrize("count", [1, 240])
def test_epochs_are_ticked_in_whole_numbers_and_lone_ones_are_marked(panels, count):
    axes = panels([epoch_row(epoch) for epoch in range(1, count + 1)])["loss"]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 1 <= len(ticks) <= 12
    assert all(tick == round(tick) for tick in ticks)
    (line,) = axes.get_lines()
    assert (line.get_marker() == "o") == (count == 1)


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_the_picture_shades_phases_and_stays_inside_its_edges(tmp_path):
    draw_curves(RUN, tmp_path / "curves.png", "a title $_{", "protocol of many words, " * 20)
    image = pixels(tmp_path / "curves.png")
    shade = [int(SHADES[1][i : i + 2], 16) for i in (1, 3, 5)]
    places = np.argwhere((image == shade).all(axis=2))
    assert len(places) > 10_000
    assert np.median(places[:, 1]) > 0.5 * image.shape[1]  # the second half of the epochs
    for edge in (image[:3], image[-3:], image[:, :3], image[:, -3:]):
        assert (edge == 255).all()


@pytest.mark.parametrize("rows", [[], [evaluation_row(1)]])
def test_a_picture_without_an_epoch_is_refused(tmp_path, rows):
    with pytest.raises(InputError, match=f"at least one epoch, got {len(rows)} rows and none of them"):
        draw_curves(rows, tmp_path / "curves.png")


def test_a_full_disk_leaves_the_older_picture(tmp_path):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="File too large"), full_disk():
        draw_curves(RUN, path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("curves.png", b"old")]


def test_a_phase_without_a_learning_rate_has_none_to_draw(panels):
    """The closed form takes one epoch and no steps; alone it leaves the panel out."""
    solved = {"stage": "label_free", "phase": "closed_form", "epoch": 3, "loss": 0.97, "seconds": 2.0}
    assert lines_in(panels([epoch_row(1), epoch_row(2), solved])["learning rate"])["lr"][:2] == [
        (1, 0.1),
        (2, 0.05),
    ]
    assert list(panels([solved])) == ["loss"]

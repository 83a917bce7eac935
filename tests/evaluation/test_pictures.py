import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from reid.evaluation import draw_cmc, draw_ranked_lists
from reid.evaluation.pictures import COLOURS, QUERY_BLUE, RIGHT_GREEN, WRONG_RED
from reid.utils import InputError

CURVE = np.linspace(0.5, 1, 50)


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count(image, colour):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((image == wanted).all(axis=2).sum())


@pytest.fixture
def grey(tmp_path):
    path = tmp_path / "grey.png"
    Image.new("RGB", (64, 128), (128, 128, 128)).save(path)
    return path


def test_coinciding_curves_all_show(tmp_path):
    path = tmp_path / "new folder" / "cmc.png"
    draw_cmc({"a": CURVE, "b": CURVE, "c": CURVE}, path)
    # The legend stands left, above the rising curves.
    image = pixels(path)
    right = image[:, image.shape[1] // 2 :]
    assert min(count(right, colour) for colour in COLOURS[:3]) > 150


def test_labels_and_curves_of_any_kind(tmp_path):
    curves = {f"model {n}, $5_{{$": CURVE[: 1 + 10 * n] for n in range(8)}
    draw_cmc(curves, tmp_path / "cmc.png")
    assert pixels(tmp_path / "cmc.png").std() > 0


def test_ranks_beyond_fifty_are_not_drawn(tmp_path):
    draw_cmc({"a": CURVE}, tmp_path / "short.png")
    draw_cmc({"a": np.concatenate([CURVE, np.ones(50)])}, tmp_path / "long.png")
    np.testing.assert_array_equal(pixels(tmp_path / "short.png"), pixels(tmp_path / "long.png"))


@pytest.mark.parametrize("curves", [{}, {"a": CURVE, "b": CURVE[:0]}])
def test_missing_and_empty_curves_are_refused(tmp_path, curves):
    with pytest.raises(InputError, match=f"at least one curve and no empty one, got {len(curves)} curves"):
        draw_cmc(curves, tmp_path / "cmc.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("is_correct", "shown", "hidden"), [(True, RIGHT_GREEN, WRONG_RED), (False, WRONG_RED, RIGHT_GREEN)]
)
def test_frames_tell_query_right_and_wrong(tmp_path, grey, is_correct, shown, hidden):
    path = tmp_path / "ranked.png"
    draw_ranked_lists(path, [grey], [[(grey, is_correct, "#1")]], ["first"])
    image = pixels(path)
    image = image[image.shape[0] // 3 :]  # below the legend, which shows all three
    assert count(image, QUERY_BLUE) > 1000
    assert count(image, shown) > 1000
    assert count(image, hidden) == 0


def test_the_legend_names_all_frames_whatever_the_grid_shows(tmp_path, grey):
    path = tmp_path / "ranked.png"
    draw_ranked_lists(path, [grey], [[]], [""], "title", "note")
    image = pixels(path)
    head = image[: image.shape[0] // 3]
    assert min(count(head, colour) for colour in (QUERY_BLUE, RIGHT_GREEN, WRONG_RED)) > 100


LONG = "protocol of many words, " * 20 + "$x_{$"


@pytest.mark.parametrize("words", [{"title": "vit_micro"}, {"note": LONG}])
@pytest.mark.parametrize("draw", ["cmc", "lists"])
def test_title_and_note_are_drawn_inside_the_picture(tmp_path, grey, draw, words):
    def picture(**words):
        path = tmp_path / "picture.png"
        if draw == "cmc":
            draw_cmc({"a": CURVE}, path, **words)
        else:
            draw_ranked_lists(path, [grey], [[(grey, True, "")] * 5], [""], **words)
        return pixels(path)

    written = picture(**words)
    assert (written < 128).any(axis=2).sum() > (picture() < 128).any(axis=2).sum() + 100
    assert (written[:, -3:] == 255).all()
    assert (written[:3] == 255).all()


def test_right_and_wrong_differ_without_colour(tmp_path, grey, monkeypatch):
    monkeypatch.setattr("reid.evaluation.pictures.WRONG_RED", RIGHT_GREEN)
    for name, is_correct in (("right.png", True), ("wrong.png", False)):
        draw_ranked_lists(tmp_path / name, [grey], [[(grey, is_correct, "#1")]], ["first"])
    assert (pixels(tmp_path / "right.png") != pixels(tmp_path / "wrong.png")).any()


def test_lists_of_different_length_and_odd_text(tmp_path, grey):
    wide = tmp_path / "wide.png"
    Image.new("L", (300, 100)).save(wide)
    matches = [[(grey, True, "$x_{$"), (wide, False, "two\nlines")], []]
    draw_ranked_lists(tmp_path / "ranked.png", [grey, wide], matches, ["a $title_{$ too long " * 20, ""])
    height, width, _ = pixels(tmp_path / "ranked.png").shape
    assert height > 200
    assert width > 500


@pytest.mark.parametrize("counts", [(0, 0, 0), (1, 2, 1), (1, 1, 2), (2, 1, 1)])
def test_lists_that_do_not_belong_together_are_refused(tmp_path, grey, counts):
    queries, lists, titles = counts
    with pytest.raises(InputError, match=f"got {queries} queries, {lists} lists, {titles} titles"):
        draw_ranked_lists(tmp_path / "ranked.png", [grey] * queries, [[]] * lists, ["a"] * titles)


@pytest.mark.parametrize("content", [None, b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_image_is_refused_by_name(tmp_path, grey, content):
    broken = tmp_path / "broken.png"
    if content is not None:
        broken.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read image .*broken\.png"):
        draw_ranked_lists(tmp_path / "ranked.png", [grey], [[(broken, True, "")]], ["a"])
    assert not (tmp_path / "ranked.png").exists()


@pytest.mark.slow
def test_importing_evaluation_loads_neither_matplotlib_nor_faiss(pytestconfig):
    code = "import sys, reid.evaluation; sys.exit(bool({'matplotlib', 'faiss'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=pytestconfig.rootpath, check=False).returncode == 0

import numpy as np
import pytest
from drawn_video import HEIGHT, WIDTH, draw_sequence

from reid.data.mot_crops import Boxes, Video, cut_crops
from reid.utils import InputError

LINES = [(frame, track, 5 + 12 * track, 5, 10, 20) for frame in (1, 2, 3) for track in (1, 2)]


@pytest.fixture
def video(tmp_path):
    draw_sequence(tmp_path / "A", LINES, num_frames=3)
    return Video("A", tmp_path / "A" / "img1", (HEIGHT, WIDTH))


def boxes_of(lines):
    columns = np.array(lines)
    corners = np.concatenate([columns[:, 2:4] - 1, columns[:, 2:4] - 1 + columns[:, 4:6]], axis=1)
    return Boxes(columns[:, 0], columns[:, 1], corners)


def test_crops_are_cut_once(video, tmp_path):
    folder = cut_crops(video, boxes_of(LINES), tmp_path / "cache")
    assert len(list(folder.iterdir())) == len(LINES)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for frame in video.folder.iterdir():
        frame.unlink()
    assert cut_crops(video, boxes_of(LINES), tmp_path / "cache") == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_other_boxes_get_another_folder(video, tmp_path):
    moved = [(*line[:2], line[2] + 1, *line[3:]) for line in LINES]
    folders = {cut_crops(video, boxes_of(lines), tmp_path) for lines in (LINES, LINES[:3], moved)}
    assert len(folders) == 3


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda path: path.unlink(), "must hold every frame with a box, frame 2 is missing"),
        (lambda path: path.write_bytes(b""), "is not: it is empty"),
        (lambda path: path.write_bytes(b"x"), "must be an image of 64 x 48 pixels as seqinfo.ini says"),
        (lambda path: path.write_bytes(b"\x89PNG"), "000002.png: it cannot be read; restore it"),
    ],
)
def test_a_fault_leaves_no_crops_behind(video, tmp_path, fault, expected):
    fault(video.folder / "000002.png")
    with pytest.raises(InputError) as caught:
        cut_crops(video, boxes_of(LINES), tmp_path / "cache")
    assert expected in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_frame_of_another_size_is_refused(tmp_path):
    draw_sequence(tmp_path / "A", LINES, num_frames=3, size=(40, 80))
    with pytest.raises(
        InputError, match=r"of 64 x 48 pixels as seqinfo\.ini says, .*000001\.png: it is 80 x 40"
    ):
        cut_crops(Video("A", tmp_path / "A" / "img1", (HEIGHT, WIDTH)), boxes_of(LINES), tmp_path / "cache")


def test_frames_of_eight_digits_are_found(tmp_path):
    """DanceTrack's names."""
    draw_sequence(tmp_path / "A", LINES, num_frames=3)
    folder = tmp_path / "A" / "img1"
    for path in list(folder.iterdir()):
        path.rename(folder / f"00{path.name}")
    crops = cut_crops(Video("A", folder, (HEIGHT, WIDTH)), boxes_of(LINES), tmp_path / "cache")
    assert len(list(crops.iterdir())) == len(LINES)


def test_crops_that_another_process_finished_first_are_taken(video, tmp_path, monkeypatch):
    target = cut_crops(video, boxes_of(LINES), tmp_path / "cache")
    seen = iter([False, True])
    monkeypatch.setattr("reid.data.mot_crops.Path.is_dir", lambda path: path != target or next(seen))
    assert cut_crops(video, boxes_of(LINES), tmp_path / "cache") == target
    assert list((tmp_path / "cache").iterdir()) == [target]

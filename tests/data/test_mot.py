import shutil

import numpy as np
import pytest
import torch
from drawn_video import color_of, draw_sequence

from reid.data import read_image
from reid.data.mot import MotRules, load_mot
from reid.evaluation import FeatureSet, evaluate_trials
from reid.utils import InputError

RULES = MotRules(gap=2, min_visibility=0.5, min_height=8)


def seen(*pairs, left=10):
    """A line for each (frame, track); the tracks stand side by side."""
    return [(frame, track, left + 12 * (track % 4), 5, 10, 20) for frame, track in pairs]


def pairs_of(dataset):
    """Each trial as its queries' and its gallery's (frame, track)."""

    def read(rows):
        names = [path.rpartition("/")[2].removesuffix(".jpg") for path in dataset.test.paths[rows]]
        return [tuple(map(int, reversed(name.split("_")))) for name in names]

    return [(read(trial.query), read(trial.gallery)) for trial in dataset.trials]


def test_a_query_meets_all_tracks_a_gap_later(tmp_path):
    lines = seen((1, 1), (1, 2), (2, 1), (3, 1), (3, 3), (4, 1), (5, 3))
    draw_sequence(tmp_path / "video" / "A", lines[::-1], num_frames=5)  # the order of the file means nothing
    dataset = load_mot(tmp_path / "video", rules=RULES)
    assert dataset.title == "video (tracks 2 frames later, 2 pairs of frames)"
    assert pairs_of(dataset) == [([(1, 1), (1, 2)], [(3, 1), (3, 3)]), ([(3, 1), (3, 3)], [(5, 3)])]
    # Frames 2 and 4 are never asked for, so they are not cut.
    assert len(dataset.test) == 5
    assert set(dataset.test.camids.tolist()) == {-1}
    assert (len(dataset.train), dataset.name) == (0, "video")


def test_tracks_of_two_sequences_are_different_people(tmp_path):
    for name in ("A", "B"):
        draw_sequence(tmp_path / name, seen((1, 1), (3, 1), left=10 if name == "A" else 11), num_frames=3)
    dataset = load_mot(tmp_path, rules=RULES)
    assert len(dataset.trials) == 2
    assert dataset.test.pids.tolist() == [1, 1, 10_000_001, 10_000_001]
    sides = [(trial.query.tolist(), trial.gallery.tolist()) for trial in dataset.trials]
    assert sides == [([0], [1]), ([2], [3])]


def test_frames_without_a_common_track_are_no_trial(tmp_path):
    draw_sequence(tmp_path / "A", seen((1, 1), (3, 2), (5, 2), (7, 3)), num_frames=7)
    assert pairs_of(load_mot(tmp_path, rules=RULES)) == [([(3, 2)], [(5, 2)])]


def test_the_crop_of_a_track_shows_it_and_nothing_else(tmp_path):
    """Pixels count from 1; a box that leaves the picture is cut at its border."""
    lines = [(1, 1, 1, 1, 10, 20), (1, 2, -4, 30, 10, 40), (3, 1, 60, 5, 10, 20), (3, 2, 20, 3, 7, 9)]
    draw_sequence(tmp_path / "A", lines)
    dataset = load_mot(tmp_path, rules=RULES)
    sizes = []
    for row, path in enumerate(dataset.test.paths):
        image = np.asarray(read_image(dataset.test.path(row))).astype(int)
        sizes.append(image.shape[:2])
        track = int(path.rpartition("/")[2].split("_")[0])
        assert np.abs(image - color_of(track)[::-1]).max() <= 3
    assert sizes == [(20, 10), (19, 5), (20, 5), (9, 7)]


def test_boxes_that_break_a_rule_are_left_out(tmp_path):
    kept = [(frame, 1, 5, 5, 10, 8, 1, 1, 0.5) for frame in (1, 3)]
    others = [
        (1, 2, 20, 5, 10, 8, 0, 1, 1),  # not to be considered
        (1, 3, 20, 5, 10, 8, 1, 2, 1),  # a rider
        (1, 4, 20, 5, 10, 8, 1, 1, 0.49),  # too well hidden
        (1, 5, 20, 5, 10, 7, 1, 1, 1),  # too small
        (1, 6, 20, 45, 10, 20, 1, 1, 1),  # too little inside the picture
        (1, 7, 70, 5, 10, 20, 1, 1, 1),  # beside the picture
    ]
    draw_sequence(tmp_path / "A", kept + others)
    dataset = load_mot(tmp_path, rules=RULES)
    assert dataset.test.pids.tolist() == [1, 1]


def test_train_and_test_folders(tmp_path):
    draw_sequence(tmp_path / "train" / "B", seen((1, 1), (2, 1), (2, 2)))
    draw_sequence(tmp_path / "test" / "A", seen((1, 1), (3, 1)))
    (tmp_path / "test" / "without-truth" / "img1").mkdir(parents=True)
    dataset = load_mot(tmp_path, rules=RULES)
    assert dataset.train.pids.tolist() == [1, 1, 2]
    assert dataset.test.pids.tolist() == [10_000_001, 10_000_001]
    assert load_mot(tmp_path, train=False, rules=RULES).test.pids.tolist() == [10_000_001, 10_000_001]
    training = load_mot(tmp_path, test=False, rules=RULES)
    assert (len(training.test), training.trials, training.title) == (0, (), tmp_path.name)


def test_a_sequence_that_is_there_once_a_detector_is_taken_once(tmp_path):
    draw_sequence(tmp_path / "V-DPM", seen((1, 1), (3, 1)))
    shutil.copytree(tmp_path / "V-DPM", tmp_path / "V-SDP")
    assert len(load_mot(tmp_path, rules=RULES).test) == 2
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    (tmp_path / "V-DPM").rename(tmp_path / "train" / "V-DPM")
    (tmp_path / "V-SDP").rename(tmp_path / "test" / "V-SDP")
    with pytest.raises(InputError, match="train and test must not share a sequence"):
        load_mot(tmp_path, rules=RULES)


def test_figures_are_the_mean_over_the_pairs(tmp_path):
    """Track 1 is found first of two, then second of two: mAP (1 + 1/2) / 2."""
    draw_sequence(tmp_path / "A", seen((1, 1), (3, 1), (3, 2), (5, 1), (5, 3)), num_frames=5)
    dataset = load_mot(tmp_path, rules=RULES)
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.2, 1.0], [1.0, 0.2]])
    records = dataset.test
    table = FeatureSet(features, torch.from_numpy(records.pids), torch.from_numpy(records.camids))
    result = evaluate_trials(table, dataset.trials)
    assert result.mean_ap == pytest.approx(0.75)
    assert [trial.num_evaluated for trial in result.trials] == [1, 1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1,1,5,5,9,9,1,1", "gt.txt:2 must read frame,id,left,top,width,height,conf,class,visibility"),
        ("1,1,5,5,9,9,1,1,1,1", "gt.txt:2 must read"),
        ("1,x,5,5,9,9,1,1,1", "got '1,x,5,5,9,9,1,1,1'"),
        ("1.5,1,5,5,9,9,1,1,1", "gt.txt:2 must read"),
        ("0,1,5,5,9,9,1,1,1", "frames from 1"),
        ("1,-1,5,5,9,9,1,1,1", "ids from 0"),
        ("1,1,nan,5,9,9,1,1,1", "gt.txt:2 must read"),
        ("1,8,5,5,9,9,1,1,1\n1,7,5,5,9,9,1,1,1", "track 7 has several in frame 1"),
    ],
)
def test_a_malformed_ground_truth_is_refused_with_its_line(tmp_path, line, expected):
    draw_sequence(tmp_path / "A", [(1, 7, 5, 5, 10, 20)])
    path = tmp_path / "A" / "gt" / "gt.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError) as caught:
        load_mot(tmp_path, rules=RULES)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda folder: (folder / "seqinfo.ini").unlink(), "must hold imWidth and imHeight under"),
        (lambda folder: (folder / "seqinfo.ini").write_text("[Sequence]\nimWidth=x"), "must hold imWidth"),
        (lambda folder: (folder / "seqinfo.ini").write_text("no section"), "must hold imWidth"),
        (lambda folder: (folder / "gt" / "gt.txt").unlink(), "MOT video needs sequences with gt/gt.txt"),
        (
            lambda folder: (folder / "gt" / "gt.txt").write_text(""),
            "is seen again 2 frames later; use a smaller",
        ),
    ],
)
def test_an_incomplete_sequence_is_refused(tmp_path, fault, expected):
    fault(draw_sequence(tmp_path / "A", seen((1, 1), (3, 1))))
    with pytest.raises(InputError) as caught:
        load_mot(tmp_path, rules=RULES)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)

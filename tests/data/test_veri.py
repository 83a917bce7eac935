"""VeRi-776's lists of viewpoints; its folders and names are tested with the other sets of their layout."""

import logging

import pytest
from trees import plant, refusal, rows_of, write_list

from reid.data import load_veri
from reid.data.veri import read_views

FOLDERS = {
    "image_train": ["0002_c001_00030600_0.jpg", "0007_c020_00030600_1.jpg", "0007_c001_00030605_0.jpg"],
    "image_query": ["0001_c002_00030600_0.jpg"],
    "image_test": ["0001_c003_00030600_0.jpg", "0009_c001_00030600_0.jpg"],
}
TRAIN_LINES = [
    "VeRi/image_train/0007_c001_00030605_0.jpg 98 86 -1 -1 6",
    "VeRi/image_train/0002_c001_00030600_0.jpg -1 -1 13 93 0",
]
TEST_LINES = [
    "VeRi/image_test/0009_c001_00030600_0.jpg 12 34 7",
    "VeRi/image_test/0001_c002_00030600_0.jpg 12 34 3",
]


@pytest.fixture
def log(log_of_reid):
    log_of_reid.set_level(logging.INFO, "reid")
    return log_of_reid


def test_views_come_from_the_lists_and_images_without_one_are_kept(tmp_path, log):
    tree = plant(tmp_path / "VeRi", FOLDERS)
    bare = load_veri(tmp_path)
    assert not log.messages
    write_list(tree / "keypoint_train.txt", TRAIN_LINES)
    write_list(tree / "keypoint_test.txt", TEST_LINES)
    dataset = load_veri(tmp_path)
    assert rows_of(dataset.train) == rows_of(bare.train)
    assert dataset.train.viewids.tolist() == [0, 6, -1]
    assert rows_of(dataset.test) == rows_of(bare.test)
    assert dataset.test.viewids.tolist() == [3, -1, 7]
    assert [trial.gallery.tolist() for trial in dataset.trials] == [[1, 2]]
    kept = "the others are kept, their view unknown"
    assert log.messages == [
        f"2 of 3 images have a view in {tree / 'keypoint_train.txt'}; {kept}",
        f"2 of 3 images have a view in {tree / 'keypoint_test.txt'}; {kept}",
    ]
    assert {record.levelno for record in log.records} == {logging.INFO}


def test_without_lists_no_view_is_known(tmp_path):
    dataset = load_veri(plant(tmp_path, FOLDERS))
    assert (dataset.train.viewids.tolist(), dataset.test.viewids.tolist()) == ([-1] * 3, [-1] * 3)


def test_a_split_reads_its_own_list_and_a_missing_one_is_warned_of(tmp_path, log_of_reid):
    write_list(plant(tmp_path, FOLDERS) / "keypoint_train.txt", [*TRAIN_LINES, *TEST_LINES])
    dataset = load_veri(tmp_path)
    assert (dataset.train.num_viewids, dataset.test.num_viewids) == (2, 0)
    (message,) = log_of_reid.messages
    assert message.startswith(f"0 of 3 images have a view in {tmp_path / 'keypoint_test.txt'};")


@pytest.mark.parametrize(("asked", "other"), [("train", "test"), ("test", "train")])
def test_the_list_of_a_split_that_is_not_wanted_is_not_read(tmp_path, asked, other):
    tree = plant(tmp_path, FOLDERS)
    write_list(tree / "keypoint_train.txt", TRAIN_LINES)
    write_list(tree / "keypoint_test.txt", TEST_LINES)
    write_list(tree / f"keypoint_{other}.txt", ["damaged"])
    dataset = load_veri(tree, **{other: False})
    assert getattr(dataset, asked).num_viewids == 2
    assert f"keypoint_{other}.txt:1 must hold" in refusal(load_veri, tree)


@pytest.mark.parametrize(
    "text",
    [
        "a/1.jpg 5 -1 6\nb/2.jpg 3\n",
        "a/1.jpg 5 -1 6\nb/2.jpg 3",
        "\ufeff/data/a/1.jpg 5 -1 6 \r\n\r\n2.jpg 3\r\n",
        "a\\1.jpg 5 -1 6\nb\\2.jpg\t3\n  \n",
        "a/1.jpg 5.5 -1.0 6\nb/2.jpg 0 0 3\n",
        "a/1.jpg 5 -1 0\nb/2.jpg 3\nc/1.jpg 5 -1 6\n",
    ],
    ids=["plain", "no end", "windows", "backslashes", "fractions", "the last of two lines"],
)
def test_lists_are_known_in_each_spelling(tmp_path, text):
    (tmp_path / "list.txt").write_text(text, encoding="utf-8", newline="")
    assert read_views(tmp_path / "list.txt") == {"1.jpg": 6, "2.jpg": 3}


@pytest.mark.parametrize(
    "line", ["a.jpg", "6", "a.jpg 1 8", "a.jpg 1 -1", "a.jpg 1 2.0", "a.jpg x 3", "a.jpg 1 10", "a.jpg 1 ³"]
)
def test_another_line_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "list.txt"
    write_list(path, ["a.jpg 1 2 3", "", f" {line}"])
    assert refusal(read_views, path) == (
        f"{path}:3 must hold an image, then numbers, the last its view in 0..7, got '{line}'; "
        f"unpack the file again"
    )


def test_of_a_long_line_both_ends_are_shown(tmp_path):
    write_list(tmp_path / "list.txt", ["0002_c001_00030600_0.jpg" + 60 * " 123" + " 9"])
    message = refusal(read_views, tmp_path / "list.txt")
    assert "got '0002_c001_00030600_0.jpg 123 1 ... 123 123 123 123 123 123 123 9';" in message

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat
from trees import refusal

from reid.data import cuhk03_release, write_synthetic
from reid.data.cuhk03_release import extract_images, image_name, read_new_protocol, read_test_sets

SIZE = {"num_train_ids": 4, "num_test_ids": 3, "images_per_camera": 1, "image_size": (40, 32)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("cuhk03") / "cuhk03"
    write_synthetic("cuhk03", root, **SIZE)
    return root


@pytest.fixture
def mat(drawn):
    return drawn / "cuhk03_release" / "cuhk-03.mat"


def test_a_name_tells_pair_person_view_and_place():
    assert image_name(1, 2, 5) == "1_002_1_05.png"
    assert image_name(5, 843, 6) == "5_843_2_06.png"


def test_images_come_out_upright_in_their_colours(mat, tmp_path):
    extract_images(mat, "labeled", tmp_path / "images_labeled")
    names = sorted(path.name for path in (tmp_path / "images_labeled").iterdir())
    # Seven people in turn in five pairs; train 1 image a view, test 2.
    assert len(names) == 4 * 2 + 3 * 4
    assert names[:2] == ["1_001_1_01.png", "1_001_2_06.png"]
    with h5py.File(mat) as release:
        cell = release[release[release["labeled"][0][0]][0, 0]][()]
    expected = np.moveaxis(cell, (0, 1, 2), (2, 1, 0))  # (3, W, H) to (H, W, 3)
    image = cv2.imread(str(tmp_path / "images_labeled" / "1_001_1_01.png"))[..., ::-1]
    assert image.shape == (40, 32, 3)
    assert (image == expected).all()


def test_labeled_and_detected_differ(mat, tmp_path):
    for boxes in ("labeled", "detected"):
        extract_images(mat, boxes, tmp_path / boxes)
    first, second = ((tmp_path / boxes / "1_001_1_01.png").read_bytes() for boxes in ("labeled", "detected"))
    assert first != second


def test_nothing_is_left_of_an_interrupted_extraction(mat, tmp_path, monkeypatch):
    written = []

    def fail_at_the_third(path, pixels):
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(cuhk03_release, "_write_image", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        extract_images(mat, "labeled", tmp_path / "images_labeled")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_that_extract_at_once_both_end_well(mat, tmp_path, monkeypatch):
    folder = tmp_path / "images_labeled"
    write = cuhk03_release._write_image

    def write_after_the_other(path, pixels):
        if not folder.exists():
            folder.mkdir()
            (folder / "other.png").touch()
        write(path, pixels)

    monkeypatch.setattr(cuhk03_release, "_write_image", write_after_the_other)
    extract_images(mat, "labeled", folder)
    assert [path.name for path in folder.iterdir()] == ["other.png"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(mat, tmp_path):
    (tmp_path / "images_labeled").write_text("a file")
    with pytest.raises(OSError, match="images_labeled"):
        extract_images(mat, "labeled", tmp_path / "images_labeled")


def test_there_are_twenty_test_sets_of_pairs_and_people(mat):
    sets = read_test_sets(mat)
    assert len(sets) == 20
    assert sets[0] == {(1, 1), (2, 1), (3, 1)}
    assert sets[1] == {(4, 1), (5, 1), (1, 2)}


def test_the_new_protocol_counts_from_zero(drawn):
    protocol = read_new_protocol(drawn / "cuhk03_new_protocol_config_labeled.mat")
    assert protocol.names[:2] == ["1_001_1_01.png", "1_001_2_06.png"]
    assert protocol.pids[:3].tolist() == [1, 1, 2]
    rows = [protocol.train, protocol.query, protocol.gallery]
    assert [len(each) for each in rows] == [8, 6, 6]
    assert sorted(np.concatenate(rows).tolist()) == list(range(20))


@pytest.mark.parametrize("content", ["text", "other", "empty"])
def test_another_file_is_no_release(tmp_path, content):
    mat = tmp_path / "cuhk-03.mat"
    if content == "text":
        mat.write_text("nothing of the kind")
    else:
        with h5py.File(mat, "w") as file:
            if content == "other":
                file["labeled"] = file["testsets"] = np.zeros((1, 5))
    for read in (read_test_sets, lambda path: extract_images(path, "labeled", tmp_path / "images")):
        assert refusal(read, mat).startswith(f"{mat} must be the release's file")
    assert list(tmp_path.iterdir()) == [mat]


@pytest.mark.parametrize("content", ["text", "empty", "short", "beyond"])
def test_another_file_is_no_configuration(drawn, tmp_path, content):
    path = tmp_path / "config.mat"
    if content == "text":
        path.write_text("nothing of the kind")
    elif content == "empty":
        savemat(path, {"a": 1})
    else:
        config = loadmat(drawn / "cuhk03_new_protocol_config_labeled.mat")
        changed = {"labels": config["labels"][:-1]} if content == "short" else {"query_idx": np.array([[99]])}
        kept = {name: value for name, value in config.items() if not name.startswith("__")}
        savemat(path, kept | changed)
    assert refusal(read_new_protocol, path).startswith(f"{path} must ")

"""Every layout is read back as it was written; what all drawn trees share is in test_synthetic.py."""

import json
from collections import Counter

import pytest

from reid.data import LAYOUTS, UNKNOWN, load_dataset, read_image, write_synthetic
from reid.utils import InputError

SIZE = {"num_train_ids": 3, "num_test_ids": 2, "images_per_camera": 2, "image_size": (40, 32)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_back_as_it_was_written(tmp_path, layout):
    write_synthetic(layout, tmp_path / "tree", **SIZE)
    dataset = load_dataset(LAYOUTS[layout].dataset, tmp_path / "tree")
    cameras = LAYOUTS[layout].num_cameras
    assert dataset.title.startswith("drawn people in ")
    each_camera = [UNKNOWN] * cameras if layout == "vehicleid" else range(cameras)
    people = {int(pid) for pid in dataset.train.pids}
    assert len(people) == 3
    assert Counter(zip(dataset.train.pids, dataset.train.camids, strict=True)) == Counter(
        (pid, camera) for pid in people for camera in each_camera for _ in range(2)
    )
    # Market-1501's extras aside.
    testing = dataset.test.select((dataset.test.pids > 0) | (dataset.name == "msmt17"))
    people = {int(pid) for pid in testing.pids}
    assert len(people) == 2
    assert Counter(zip(testing.pids, testing.camids, strict=True)) == Counter(
        (pid, camera) for pid in people for camera in each_camera for _ in range(3)
    )
    trial = dataset.trials[0]
    if layout == "vehicleid":
        assert (len(trial.query), len(trial.gallery)) == (3 * 2 * cameras - 2, 2)
    else:
        assert len(trial.query) == 2 * cameras
    assert read_image(dataset.test.path(0)).size == (32, 40)


def test_every_tree_says_what_drew_it(tmp_path):
    write_synthetic("veri", tmp_path / "tree", **SIZE)
    stamp = json.loads((tmp_path / "tree" / "synthetic.json").read_text())
    assert (stamp["layout"], stamp["num_cameras"], stamp["image_size"]) == ("VeRi-776", 4, [40, 32])
    before = (tmp_path / "tree" / "image_query").stat().st_mtime_ns
    write_synthetic("veri", tmp_path / "tree", **SIZE)
    assert (tmp_path / "tree" / "image_query").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="drawn with other parameters"):
        write_synthetic("dukemtmc", tmp_path / "tree", **SIZE)


@pytest.mark.parametrize(
    ("layout", "changed", "expected"),
    [
        ("viper", {}, r"unknown layout 'viper': did you mean 'veri'\?"),
        ("cuhk03", {"num_cameras": 3}, "num_cameras of a synthetic cuhk03 must be at most 2, got 3"),
        ("cuhk03", {"images_per_camera": 5}, "images_per_camera of a synthetic CUHK03 must be at most 4"),
        ("veri", {"num_cameras": 21}, "num_cameras of a synthetic veri must be at most 20, got 21"),
        ("dukemtmc", {"num_cameras": 9}, "num_cameras of a synthetic dukemtmc must be at most 8, got 9"),
        ("vehicleid", {"num_train_ids": 0}, "num_train_ids of a synthetic data set must be in 1"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(tmp_path, layout, changed, expected):
    with pytest.raises(InputError, match=expected):
        write_synthetic(layout, tmp_path / "tree", **{**SIZE, **changed})
    assert not list(tmp_path.iterdir())

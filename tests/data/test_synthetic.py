import json

import cv2
import pytest

from reid.data import load_market1501, load_msmt17, synthetic, write_synthetic_market, write_synthetic_msmt
from reid.utils import InputError

SMALL = {
    "num_train_ids": 2,
    "num_test_ids": 2,
    "num_cameras": 2,
    "images_per_camera": 2,
    "image_size": (32, 32),
}
MARKET = {**SMALL, "num_distractors": 3, "num_junk": 2}
writers = pytest.mark.parametrize(
    ("write", "arguments"),
    [
        (write_synthetic_market, MARKET),
        (write_synthetic_msmt, SMALL),
        (write_synthetic_msmt, {**SMALL, "version": "V2"}),
    ],
    ids=["market", "V1", "V2"],
)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def images(folder):
    return {name: data for name, data in contents(folder).items() if name.endswith(".jpg")}


def seen(records, rows=None):
    """How often each (identity, camera) is there."""
    counts = {}
    for row in range(len(records)) if rows is None else rows.tolist():
        key = (int(records.pids[row]), int(records.camids[row]))
        counts[key] = counts.get(key, 0) + 1
    return counts


def test_market_is_read_back_as_it_was_written(tmp_path):
    write_synthetic_market(tmp_path / "tree", **MARKET)
    dataset = load_market1501(tmp_path / "tree")
    (trial,) = dataset.trials
    assert dataset.title == "drawn people in Market-1501's layout"
    assert seen(dataset.train) == {(1, 0): 2, (1, 1): 2, (2, 0): 2, (2, 1): 2}
    assert seen(dataset.test, trial.query) == {(3, 0): 1, (3, 1): 1, (4, 0): 1, (4, 1): 1}
    assert seen(dataset.test, trial.gallery) == {
        (3, 0): 2,
        (3, 1): 2,
        (4, 0): 2,
        (4, 1): 2,
        (0, 0): 2,
        (0, 1): 1,
    }
    junk = [name for name in images(tmp_path / "tree") if "/-1_" in name]
    assert len(junk) == 2
    assert len(images(tmp_path / "tree")) == 8 + 4 + 8 + 3 + 2


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_msmt_is_read_back_as_it_was_written(tmp_path, version):
    write_synthetic_msmt(tmp_path / "tree", version=version, **SMALL)
    dataset = load_msmt17(tmp_path / "tree")
    (trial,) = dataset.trials
    each = {(0, 0): 2, (0, 1): 2, (1, 0): 2, (1, 1): 2}
    once = dict.fromkeys(each, 1)
    assert dataset.title == f"drawn people in MSMT17 {version}'s layout"
    assert seen(dataset.train) == each
    # The last image of each identity by the first camera is val's.
    without_val = load_msmt17(tmp_path / "tree", use_val=False).train
    assert seen(without_val) == {(0, 0): 1, (0, 1): 2, (1, 0): 1, (1, 1): 2}
    assert seen(dataset.test, trial.query) == once
    assert seen(dataset.test, trial.gallery) == each
    assert len(images(tmp_path / "tree")) == len(dataset.train) + len(dataset.test)


@writers
def test_the_same_arguments_draw_the_same_files_and_another_seed_others(tmp_path, write, arguments):
    write(tmp_path / "a", **arguments)
    write(tmp_path / "b", **arguments)
    write(tmp_path / "c", **arguments, seed=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    first, other = images(tmp_path / "a"), images(tmp_path / "c")
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_no_two_images_are_equal_and_all_have_the_size_asked_for(tmp_path):
    arguments = {**MARKET, "image_size": (48, 36)}
    write_synthetic_market(tmp_path / "tree", **arguments)
    drawn = images(tmp_path / "tree")
    assert len(set(drawn.values())) == len(drawn)
    for name in drawn:
        image = cv2.imread(str(tmp_path / "tree" / name))
        assert image.shape == (48, 36, 3)
        assert image.std() > 3


def test_one_more_camera_changes_no_image_of_the_others(tmp_path):
    write_synthetic_market(tmp_path / "two", **SMALL)
    write_synthetic_market(tmp_path / "three", **{**SMALL, "num_cameras": 3})
    two, three = images(tmp_path / "two"), images(tmp_path / "three")
    people = [name for name in two if "/0000_" not in name and "/-1_" not in name]
    assert len(people) == 8 + 4 + 8
    assert all(three[name] == two[name] for name in people)


@writers
def test_a_second_call_keeps_the_tree(tmp_path, write, arguments):
    write(tmp_path / "tree", **arguments)
    name = sorted(images(tmp_path / "tree"))[0]
    (tmp_path / "tree" / name).write_bytes(b"touched")
    write(tmp_path / "tree", **arguments)
    assert (tmp_path / "tree" / name).read_bytes() == b"touched"


def test_an_empty_folder_is_filled_and_parents_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    write_synthetic_market(tmp_path / "empty", **SMALL)
    write_synthetic_market(tmp_path / "a" / "b", **SMALL)
    assert contents(tmp_path / "empty") == contents(tmp_path / "a" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty"]


@pytest.mark.parametrize(
    "stamp", [None, "{", json.dumps({"layout": "Market-1501"})], ids=["none", "damaged", "other"]
)
def test_a_folder_that_holds_something_else_is_refused_and_kept(tmp_path, stamp):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    if stamp is not None:
        (tmp_path / "synthetic.json").write_text(stamp)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="need a folder of their own") as caught:
        write_synthetic_market(tmp_path, **SMALL)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("write", "changed"),
    [
        (write_synthetic_market, {"seed": 5}),
        (write_synthetic_market, {"num_junk": 1}),
        (write_synthetic_msmt, {}),
    ],
    ids=["seed", "junk", "layout"],
)
def test_a_tree_of_other_arguments_is_refused_and_kept(tmp_path, write, changed):
    write_synthetic_market(tmp_path / "tree", **SMALL)
    before = contents(tmp_path / "tree")
    with pytest.raises(InputError, match="drawn with other parameters"):
        write(tmp_path / "tree", **{**SMALL, **changed})
    assert contents(tmp_path / "tree") == before


@pytest.mark.parametrize("exists", [False, True])
def test_nothing_is_left_after_a_failure(tmp_path, monkeypatch, exists):
    taken = []

    def fail_at_the_third(*arguments):
        taken.append(arguments)
        if len(taken) == 3:
            raise RuntimeError("the lamp broke")
        return take_picture(*arguments)

    take_picture = synthetic.take_picture
    monkeypatch.setattr(synthetic, "take_picture", fail_at_the_third)
    if exists:
        (tmp_path / "tree").mkdir()
    with pytest.raises(RuntimeError, match="the lamp broke"):
        write_synthetic_market(tmp_path / "tree", **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == (["tree"] if exists else [])
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"num_train_ids": 0}, r"num_train_ids of a synthetic data set must be in 1\.\.9999, got 0"),
        ({"num_train_ids": 10**9}, r"num_train_ids of .* must be in 1\.\.9999, got 1000000000"),
        ({"num_test_ids": 0}, r"num_test_ids of .* must be in 1\.\.9999, got 0"),
        ({"num_cameras": 1}, r"num_cameras of .* must be in 2\.\.99, got 1"),
        ({"num_cameras": 100}, r"num_cameras of .* must be in 2\.\.99, got 100"),
        ({"images_per_camera": 0}, r"images_per_camera of .* must be in 1\.\.999, got 0"),
        ({"num_distractors": -1}, r"num_distractors of .* must be in 0\.\.9999, got -1"),
        ({"num_junk": -1}, r"num_junk of .* must be in 0\.\.9999, got -1"),
        ({"seed": -1}, r"seed of .* must be in 0\.\.9223372036854775807, got -1"),
        (
            {"num_train_ids": 5000, "num_cameras": 50},
            "at most 200000 images, 5002 identities by 50 cameras make 500200; draw fewer",
        ),
        ({"image_size": (31, 64)}, r"image_size of .* must be \(H, W\) in 32\.\.1024, got \(31, 64\)"),
        ({"image_size": (32, 4096)}, r"image_size of .* must be \(H, W\) in 32\.\.1024, got \(32, 4096\)"),
        ({"image_size": (64,)}, r"image_size of .* must be \(H, W\) in 32\.\.1024, got \(64,\)"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, changed, expected):
    with pytest.raises(InputError, match=expected):
        write_synthetic_market(tmp_path / "tree", **{**SMALL, **changed})
    assert not list(tmp_path.iterdir())


def test_an_unknown_version_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown MSMT17 version 'V3'"):
        write_synthetic_msmt(tmp_path / "tree", version="V3")


def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_drawn(tmp_path):
    (tmp_path / "a").write_text("text")
    with pytest.raises(InputError, match=r"need a folder of their own, .*a is none"):
        write_synthetic_market(tmp_path / "a", **SMALL)
    assert (tmp_path / "a").read_text() == "text"

import pytest
from drawn_video import draw_sequence
from trees import plant

from reid.data import LAYOUTS, LOADERS, MotRules, load_dataset, write_synthetic, write_synthetic_msmt
from reid.utils import InputError

SMALL = {
    "num_train_ids": 1,
    "num_test_ids": 1,
    "num_cameras": 2,
    "images_per_camera": 2,
    "image_size": (32, 32),
}


@pytest.mark.parametrize("layout", [*LAYOUTS, "vehicles2cam"])
def test_every_loader_is_found_by_its_name_and_told_the_splits(tmp_path, layout):
    if layout == "vehicles2cam":
        name = layout
        images = [f"car_0001_cam{camera}.jpg" for camera in (1, 2)]
        plant(tmp_path, {f"images/{folder}": images for folder in ("train", "test")})
    else:
        name = LAYOUTS[layout].dataset
        write_synthetic(layout, tmp_path / "drawn", **{**SMALL, "num_train_ids": 2})
        tmp_path = tmp_path / "drawn"
    assert load_dataset(name, tmp_path).name == name
    assert len(load_dataset(name, tmp_path, train=False).train) == 0
    assert len(load_dataset(name, tmp_path, test=False).test) == 0


def test_every_loader_has_a_layout_but_the_small_real_set():
    assert {layout.dataset for layout in LAYOUTS.values()} == {*LOADERS} - {"vehicles2cam"}


def test_the_options_of_msmt17_reach_it(tmp_path):
    for version in ("V1", "V2"):
        write_synthetic_msmt(tmp_path / f"MSMT17_{version}", version=version, **SMALL)
    dataset = load_dataset("msmt17", tmp_path, msmt_use_val=False, msmt_version="V2")
    assert (dataset.title, dataset.train_rule) == ("drawn people in MSMT17 V2's layout", "train")
    assert load_dataset("msmt17", tmp_path, msmt_version="V2").train_rule == "train+val"


def test_the_options_of_the_others_reach_them(tmp_path):
    write_synthetic("market1501", tmp_path / "market1501", **SMALL)
    plant(tmp_path / "market1501", {"images": ["0_c1_1.jpg"]})
    assert load_dataset("market1501", tmp_path, market_distractors=True).title.endswith(" with distractors")
    write_synthetic("vehicleid", tmp_path / "vehicleid", **SMALL)
    assert "list 2400" in load_dataset("vehicleid", tmp_path, vehicleid_test_size=2400).title
    write_synthetic("cuhk03", tmp_path / "cuhk03", **SMALL)
    options = {"cuhk03_boxes": "detected", "cuhk03_protocol": "classic", "cuhk03_split": 3}
    assert "(detected, classic protocol split 3, " in load_dataset("cuhk03", tmp_path, **options).title


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("name", ["mine.csv", "MINE.CSV"])
def test_a_csv_list_is_found_below_the_root_or_anywhere(tmp_path, name, absolute):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "a.jpg").touch()
    (tmp_path / "lists" / name).write_text("path,split\na.jpg,train\n")
    given = str(tmp_path / "lists" / name) if absolute else f"lists/{name}"
    root = tmp_path / "elsewhere" if absolute else tmp_path
    assert load_dataset(given, root).train.path(0) == tmp_path / "lists" / "a.jpg"
    assert len(load_dataset(given, root, train=False).train) == 0


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(
        InputError, match=r"unknown data set 'markt1501': did you mean 'market1501'\?"
    ) as caught:
        load_dataset("markt1501", tmp_path)
    known = str(caught.value).split("choose one of ")[1].split(", ")
    assert known == sorted([*LOADERS, "<path>.csv", "folders:<path>", "mot:<path>"])


@pytest.mark.parametrize("absolute", [False, True])
def test_identity_folders_are_found_below_the_root_or_anywhere(tmp_path, absolute):
    plant(tmp_path / "mine", {"train/anna": ["1.jpg"], "test/bert": ["1.jpg", "2.jpg", "3.jpg"]})
    name = f"folders:{tmp_path / 'mine' if absolute else 'mine'}"
    root = tmp_path / "elsewhere" if absolute else tmp_path
    dataset = load_dataset(name, root, folders_seed=5)
    assert (len(dataset.train), dataset.title) == (1, "mine (one query an identity, seed 5)")
    assert len(load_dataset(name, root, train=False).train) == 0
    assert len(load_dataset(name, root, test=False).test) == 0


def test_mot_video_is_found_and_told_its_rules(tmp_path):
    lines = [(frame, 1, 5, 5, 10, 20) for frame in (1, 2, 3)]
    draw_sequence(tmp_path / "video" / "test" / "A", lines)
    draw_sequence(tmp_path / "video" / "train" / "B", lines[:2])
    rules = MotRules(gap=1, min_height=5, cache=tmp_path / "crops")
    dataset = load_dataset("mot:video", tmp_path, mot_rules=rules)
    assert (len(dataset.train), len(dataset.test), len(dataset.trials)) == (2, 3, 2)
    assert dataset.test.root == tmp_path / "crops"
    assert len(load_dataset("mot:video", tmp_path, train=False, mot_rules=rules).train) == 0
    assert len(load_dataset("mot:video", tmp_path, test=False, mot_rules=rules).test) == 0

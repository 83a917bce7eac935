import pytest

from reid.data import LOADERS, load_dataset, load_market1501, load_msmt17, load_vehicles2cam
from reid.data.synthetic import write_synthetic_market, write_synthetic_msmt
from reid.utils import InputError

SMALL = {
    "num_train_ids": 1,
    "num_test_ids": 1,
    "num_cameras": 2,
    "images_per_camera": 2,
    "image_size": (32, 32),
}


def test_the_names():
    assert {
        "market1501": load_market1501,
        "msmt17": load_msmt17,
        "vehicles2cam": load_vehicles2cam,
    } == LOADERS


def test_every_loader_is_found_by_its_name_and_told_the_splits(tmp_path):
    write_synthetic_market(tmp_path / "market1501", **SMALL)
    write_synthetic_msmt(tmp_path / "msmt17", **SMALL)
    for folder in ("train", "test"):
        (tmp_path / "vehicles2cam" / "images" / folder).mkdir(parents=True)
        for camera in (1, 2):
            (tmp_path / "vehicles2cam" / "images" / folder / f"car_0001_cam{camera}.jpg").touch()
    for name in LOADERS:
        assert load_dataset(name, tmp_path).name == name
        assert len(load_dataset(name, tmp_path, train=False).train) == 0
        assert len(load_dataset(name, tmp_path, test=False).test) == 0


def test_the_options_of_msmt17_reach_it(tmp_path):
    for version in ("V1", "V2"):
        write_synthetic_msmt(tmp_path / f"MSMT17_{version}", version=version, **SMALL)
    dataset = load_dataset("msmt17", tmp_path, msmt_use_val=False, msmt_version="V2")
    assert (dataset.title, dataset.train_rule) == ("drawn people in MSMT17 V2's layout", "train")
    assert load_dataset("msmt17", tmp_path, msmt_version="V2").train_rule == "train+val"


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
    assert "<path>.csv, market1501, msmt17, vehicles2cam" in str(caught.value)

from functools import partial
from pathlib import Path

import pytest
import trees

from reid.data import load_vehicles2cam, read_image

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
TREE = {
    "images/train": ["bus_0001_cam1.jpg", "bus_0001_cam2.jpg", "car_0006_cam2.jpg", "truck_0003_cam1.jpg"],
    "images/test": [
        "car_0006_cam1.jpg",
        "car_0006_cam2.jpg",
        "motorcycle_0070_cam1.jpg",
        "motorcycle_0070_cam2.jpg",
    ],
}


def plant(tree, folders=TREE):
    for folder, names in folders.items():
        (tree / folder).mkdir(parents=True)
        for name in names:
            (tree / folder / name).touch()
    return tree


refusal = partial(trees.refusal, load_vehicles2cam)


def test_toy_tree(tmp_path):
    dataset = load_vehicles2cam(plant(tmp_path))
    assert (dataset.name, dataset.title, dataset.train_rule) == ("vehicles2cam", "vehicles2cam", "train")
    assert dataset.train.paths.tolist() == [f"images/train/{name}" for name in TREE["images/train"]]
    assert dataset.train.pids.tolist() == [1, 1, 100_006, 300_003]
    assert dataset.train.camids.tolist() == [0, 1, 1, 0]
    assert dataset.test.paths.tolist() == [f"images/test/{name}" for name in TREE["images/test"]]
    assert dataset.test.pids.tolist() == [1_100_006, 1_100_006, 1_200_070, 1_200_070]
    assert dataset.test.camids.tolist() == [0, 1, 0, 1]


def test_each_camera_in_turn_is_the_query_side(tmp_path):
    forth, back = load_vehicles2cam(plant(tmp_path)).trials
    assert (forth.query.tolist(), forth.gallery.tolist()) == ([0, 2], [1, 3])
    assert (back.query.tolist(), back.gallery.tolist()) == ([1, 3], [0, 2])


def test_a_number_is_another_identity_in_another_class_or_split(tmp_path):
    names = [
        f"{kind}_00001_cam{camera}.jpg" for kind in ("bus", "car", "motorcycle", "truck") for camera in (1, 2)
    ]
    dataset = load_vehicles2cam(plant(tmp_path, {"images/train": names, "images/test": names}))
    assert (dataset.train.num_pids, dataset.test.num_pids) == (4, 4)
    assert not set(dataset.train.pids.tolist()) & set(dataset.test.pids.tolist())


@pytest.mark.parametrize("spelling", ["vehicles2cam", "."])
def test_each_spelling_of_the_folder_is_found(tmp_path, spelling):
    plant(tmp_path / spelling)
    assert load_vehicles2cam(tmp_path).train.root == tmp_path / spelling


@pytest.mark.parametrize(
    "name", ["van_0001_cam1.jpg", "car_0001_cam3.jpg", "car_x_cam1.jpg", "car_123456_cam1.jpg", "car.jpg"]
)
def test_another_name_is_refused_with_its_path(tmp_path, name):
    plant(tmp_path)
    (tmp_path / "images" / "test" / name).touch()
    message = refusal(tmp_path)
    assert message.startswith(
        "a vehicles2cam image is named like car_0006_cam1.jpg with a class of bus, car,"
    )
    assert f"got {tmp_path / 'images/test' / name}; rename or remove it" in message


@pytest.mark.parametrize("folder", sorted(TREE))
def test_a_missing_or_empty_folder_is_named(tmp_path, folder):
    plant(tmp_path, {name: images for name, images in TREE.items() if name != folder})
    assert f"vehicles2cam not found: {tmp_path / folder} does not exist" in refusal(tmp_path)
    (tmp_path / folder).mkdir()
    assert refusal(tmp_path) == f"vehicles2cam needs images in {tmp_path / folder}, found none"


def test_nothing_there_names_the_expected_folder(tmp_path):
    assert f"not found: {tmp_path / 'vehicles2cam/images/train'} does not exist" in refusal(tmp_path)


@pytest.mark.parametrize("camera", [1, 2])
def test_test_images_of_one_camera_only_are_refused(tmp_path, camera):
    plant(tmp_path, {**TREE, "images/test": [f"car_0006_cam{camera}.jpg"]})
    expected = f"needs test images of both cameras, {tmp_path / 'images/test'} holds only one"
    assert expected in refusal(tmp_path)
    assert load_vehicles2cam(tmp_path, test=False).trials == ()


def test_the_training_images_need_not_exist_for_a_test(tmp_path):
    plant(tmp_path, {"images/test": TREE["images/test"]})
    dataset = load_vehicles2cam(tmp_path, train=False)
    assert (len(dataset.train), len(dataset.test), len(dataset.trials)) == (0, 4, 2)


@pytest.mark.skipif(
    not (SHARED / "vehicles2cam").is_dir(), reason="the real images of vehicles2cam are not here"
)
def test_the_real_set_has_its_published_counts_and_one_match_a_query():
    dataset = load_vehicles2cam(SHARED)
    assert (len(dataset.train), dataset.train.num_pids, dataset.train.num_camids) == (1014, 507, 2)
    assert (len(dataset.test), dataset.test.num_pids) == (120, 60)
    assert len(dataset.trials) == 2
    for camera, trial in enumerate(dataset.trials):
        assert (len(trial.query), len(trial.gallery)) == (60, 60)
        assert {int(dataset.test.camids[row]) for row in trial.query} == {camera}
        assert {int(dataset.test.camids[row]) for row in trial.gallery} == {1 - camera}
        for row in trial.query:
            matches = [other for other in trial.gallery if dataset.test.pids[other] == dataset.test.pids[row]]
            assert len(matches) == 1
    assert read_image(dataset.test.path(0)).mode == "RGB"

import pytest
import torch
from trees import plant, refusal, rows_of, write_list

from reid.data import UNKNOWN, load_vehicleid
from reid.evaluation import FeatureSet, evaluate_trials

LISTS = {
    "train_list": ["0000001 7", "0000002 7", "0000003 12"],
    "test_list_800": ["0000006 4", "0000004 4", "0000005 4", "0000008 9", "0000007 9"],
    "test_list_1600": ["0000004 4", "0000005 4"],
}
IMAGES = [f"{number:07d}.jpg" for number in range(1, 9)]


def plant_set(tree, lists=LISTS, images=IMAGES):
    plant(tree, {"image": images})
    for name, lines in lists.items():
        write_list(tree / "train_test_split" / f"{name}.txt", lines)
    return tree


def test_toy_tree(tmp_path):
    dataset = load_vehicleid(plant_set(tmp_path))
    assert dataset.title == "VehicleID (test list 800, mean of 10 random galleries)"
    assert rows_of(dataset.train) == [
        ("image/0000001.jpg", 7, UNKNOWN),
        ("image/0000002.jpg", 7, UNKNOWN),
        ("image/0000003.jpg", 12, UNKNOWN),
    ]
    assert dataset.test.paths.tolist() == [f"image/{name}" for name in IMAGES[3:]]
    assert dataset.test.pids.tolist() == [4, 4, 4, 9, 9]


def test_ten_trials_draw_one_image_of_each_identity_and_query_with_the_rest(tmp_path):
    dataset = load_vehicleid(plant_set(tmp_path))
    assert len(dataset.trials) == 10
    for trial in dataset.trials:
        assert dataset.test.pids[trial.gallery].tolist() == [4, 9]
        assert sorted([*trial.query, *trial.gallery]) == [0, 1, 2, 3, 4]
    assert len({tuple(trial.gallery) for trial in dataset.trials}) > 1


def test_the_trials_do_not_depend_on_the_order_of_the_list(tmp_path):
    turned = {**LISTS, "test_list_800": LISTS["test_list_800"][::-1]}
    first, second = (
        load_vehicleid(plant_set(tmp_path / "a")),
        load_vehicleid(plant_set(tmp_path / "b", turned)),
    )
    assert first.test.paths.tolist() == second.test.paths.tolist()
    for one, other in zip(first.trials, second.trials, strict=True):
        assert one.gallery.tolist() == other.gallery.tolist()


def test_no_true_match_is_junk(tmp_path):
    """Perfect features find every query's one match first, in every trial."""
    dataset = load_vehicleid(plant_set(tmp_path))
    pids, camids = torch.tensor(dataset.test.pids), torch.tensor(dataset.test.camids)
    result = evaluate_trials(FeatureSet(torch.eye(10)[pids], pids, camids), dataset.trials)
    assert result.mean_ap == 1.0
    assert [(trial.num_evaluated, trial.num_query) for trial in result.trials] == [(3, 3)] * 10


def test_the_size_picks_the_list(tmp_path):
    dataset = load_vehicleid(plant_set(tmp_path), test_size=1600)
    assert (len(dataset.test), "test list 1600" in dataset.title) == (2, True)
    assert "test_list_2400.txt does not exist" in refusal(load_vehicleid, tmp_path, test_size=2400)
    assert "must be one of 800, 1600, 2400, got 801" in refusal(load_vehicleid, tmp_path, test_size=801)


@pytest.mark.parametrize(
    "listed", ["0000001", "0000001.jpg", "0000001.JPG", "image/0000001.jpg", "image\\0000001"]
)
@pytest.mark.parametrize("image", ["0000001.jpg", "0000001.JPG"])
def test_names_with_and_without_the_suffix_are_known(tmp_path, listed, image):
    plant_set(tmp_path, {"train_list": [f"{listed} 7"]}, [image])
    assert load_vehicleid(tmp_path, test=False).train.paths.tolist() == [f"image/{image}"]


@pytest.mark.parametrize("spelling", ["VehicleID_V1.0", "vehicleid", "VehicleID", "."])
def test_each_spelling_of_the_folder_is_found(tmp_path, spelling):
    plant_set(tmp_path / spelling)
    assert load_vehicleid(tmp_path).test.root == tmp_path / spelling


def test_what_is_missing_is_named(tmp_path):
    expected = tmp_path / "VehicleID_V1.0" / "train_test_split"
    assert f"VehicleID not found: {expected} does not exist" in refusal(load_vehicleid, tmp_path)
    write_list(tmp_path / "train_test_split" / "train_list.txt", LISTS["train_list"])
    assert len(load_vehicleid(tmp_path, train=False, test=False).test) == 0
    assert f"VehicleID not found: {tmp_path / 'image'} does not exist" in refusal(load_vehicleid, tmp_path)
    plant(tmp_path, {"image": IMAGES})
    assert "test_list_800.txt does not exist" in refusal(load_vehicleid, tmp_path)
    assert len(load_vehicleid(tmp_path, test=False).train) == 3


@pytest.mark.parametrize("listed", ["0000099", "0000099.jpg"])
def test_a_listed_image_that_is_missing_is_refused_with_its_line(tmp_path, listed):
    plant_set(tmp_path, {**LISTS, "train_list": ["0000001 7", f"{listed} 8"]})
    path = tmp_path / "train_test_split" / "train_list.txt"
    assert refusal(load_vehicleid, tmp_path).startswith(
        f"{path}:2 names an image that does not exist: {tmp_path / 'image' / listed}; "
    )


def test_an_identity_in_train_and_test_is_refused(tmp_path):
    plant_set(tmp_path, {**LISTS, "train_list": ["0000001 4"]})
    assert "identity 4 is in both (1 in all)" in refusal(load_vehicleid, tmp_path)


def test_an_image_listed_twice_is_refused_with_its_line(tmp_path):
    plant_set(tmp_path, {**LISTS, "test_list_800": [*LISTS["test_list_800"], "0000004 4"]})
    expected = "test_list_800.txt:2 names an image that the list names again: image/0000004.jpg"
    assert expected in refusal(load_vehicleid, tmp_path)


def test_an_identity_that_no_number_holds_is_refused_with_its_line(tmp_path):
    plant_set(tmp_path, {**LISTS, "train_list": [f"0000001 {'9' * 25}"]})
    assert "train_list.txt:1 must read like" in refusal(load_vehicleid, tmp_path)

import re
from functools import partial

import pytest
import trees

from reid.data import load_market1501

TREE = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c6s4_000001_01.jpg"],
    "query": ["0001_c1s1_001051_00.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c2s1_000151_01.jpg",
        "0001_c3s1_000551_00.jpg",
    ],
}


def plant(tree, folders=TREE):
    for folder, names in folders.items():
        (tree / folder).mkdir(parents=True)
        for name in names:
            (tree / folder / name).touch()
    return tree


refusal = partial(trees.refusal, load_market1501)


def test_toy_tree(tmp_path):
    dataset = load_market1501(plant(tmp_path))
    assert (dataset.name, dataset.title, dataset.train_rule) == ("market1501", "Market-1501", "train")
    assert dataset.train.paths.tolist() == [
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "bounding_box_train/0007_c6s4_000001_01.jpg",
    ]
    assert dataset.train.pids.tolist() == [2, 7]
    assert dataset.train.camids.tolist() == [0, 5]
    assert dataset.test.paths.tolist() == [
        "query/0001_c1s1_001051_00.jpg",
        "bounding_box_test/0000_c2s1_000151_01.jpg",
        "bounding_box_test/0001_c3s1_000551_00.jpg",
    ]
    assert dataset.test.pids.tolist() == [1, 0, 1]
    assert dataset.test.camids.tolist() == [0, 1, 2]
    (trial,) = dataset.trials
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0], [1, 2])
    assert all(dataset.test.path(row).is_file() for row in range(3))


@pytest.mark.parametrize(
    "spelling",
    [
        "market1501/Market-1501-v15.09.15",
        "market1501",
        "Market-1501-v15.09.15",
        "Market-1501",
        ".",
    ],
)
def test_each_spelling_of_the_folder_is_found(tmp_path, spelling):
    plant(tmp_path / spelling)
    assert load_market1501(tmp_path).train.root == tmp_path / spelling


def test_the_most_specific_folder_is_taken(tmp_path):
    plant(tmp_path)
    plant(tmp_path / "market1501")
    assert load_market1501(tmp_path).train.root == tmp_path / "market1501"


def test_two_trees_are_a_warning(tmp_path, log_of_reid):
    for spelling in ("Market-1501", "market1501"):
        plant(tmp_path / spelling)
    load_market1501(tmp_path)
    (message,) = log_of_reid.messages
    assert f"using {tmp_path / 'market1501'}, not {tmp_path / 'Market-1501'}; " in message


def test_distractors_join_the_gallery_only_where_they_are_asked_for(tmp_path):
    plant(tmp_path)
    assert f"not found: {tmp_path / 'images'} does not exist" in refusal(tmp_path, distractors=True)
    plant(tmp_path, {"images": ["00000002.jpg", "-1_c1s1_000001_00.jpg", "0002_c1s1_000001_00.jpg"]})
    without, dataset = load_market1501(tmp_path), load_market1501(tmp_path, distractors=True)
    assert (without.title, dataset.title) == ("Market-1501", "Market-1501 with distractors")
    assert (len(without.test), len(dataset.test)) == (3, 5)
    assert dataset.test.paths[3:].tolist() == ["images/00000002.jpg", "images/0002_c1s1_000001_00.jpg"]
    assert dataset.test.pids.tolist() == [1, 0, 1, 0, 0]
    assert dataset.test.camids.tolist() == [0, 1, 2, -1, -1]
    (trial,) = dataset.trials
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0], [1, 2, 3, 4])
    assert load_market1501(tmp_path, test=False, distractors=True).trials == ()


def test_no_distractors_at_all_are_refused(tmp_path):
    plant(tmp_path, {**TREE, "images": ["-1_c1s1_000001_00.jpg"]})
    expected = f"Market-1501 needs distractors in {tmp_path / 'images'}, found none"
    assert refusal(tmp_path, distractors=True) == expected


def test_only_the_base_name_is_parsed(tmp_path):
    dataset = load_market1501(plant(tmp_path / "exp_01_c3"))
    assert dataset.train.pids.tolist() == [2, 7]
    assert dataset.train.camids.tolist() == [0, 5]


def test_junk_is_dropped_everywhere_and_identity_zero_is_kept(tmp_path):
    folders = {folder: ["-1_c1s1_000001_00.jpg", "0000_c1s1_000001_00.jpg"] for folder in TREE}
    dataset = load_market1501(plant(tmp_path, folders))
    assert dataset.train.pids.tolist() == [0]
    assert dataset.test.pids.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "pid", "camid"),
    [
        ("1501_c6s3_094567_03.jpg", 1501, 5),
        ("0003_c12s1_000451_03.jpg", 3, 11),
        ("0003_c2_000451.jpg", 3, 1),
        ("12345_c1s1_000451_03.JPG", 12345, 0),
        ("0003_c1s1_000451_03.jpeg", 3, 0),
        ("0003_c1s1_000451_03.png", 3, 0),
    ],
)
def test_names(tmp_path, name, pid, camid):
    dataset = load_market1501(plant(tmp_path, {"bounding_box_train": [name]}), test=False)
    assert dataset.train.pids.tolist() == [pid]
    assert dataset.train.camids.tolist() == [camid]


@pytest.mark.parametrize(
    "name",
    [
        "person.jpg",
        "0002.jpg",
        "x0002_c1s1_000451_03.jpg",
        "0002_c0s1_000451_03.jpg",
        "0002_cs1_000451_03.jpg",
        "-2_c1s1_000451_03.jpg",
        "0002_c1s1.jpg",
    ],
)
def test_another_name_is_refused_with_its_path(tmp_path, name):
    plant(tmp_path)
    (tmp_path / "query" / name).touch()
    message = refusal(tmp_path)
    assert message == (
        f"a Market-1501 image is named like 0002_c1s1_000451_03.jpg, got {tmp_path / 'query' / name}; "
        f"rename or remove it"
    )


def test_other_files_are_ignored(tmp_path):
    plant(tmp_path)
    for name in ("Thumbs.db", "readme.txt", "._0002_c1s1_000451_03.jpg"):
        (tmp_path / "bounding_box_train" / name).touch()
    assert len(load_market1501(tmp_path).train) == 2


@pytest.mark.parametrize("folder", sorted(TREE))
def test_a_missing_folder_is_named(tmp_path, folder):
    plant(tmp_path, {name: images for name, images in TREE.items() if name != folder})
    assert refusal(tmp_path) == (
        f"Market-1501 not found: {tmp_path / folder} does not exist; "
        f"see datasets/README.md for the expected folders"
    )


def test_nothing_there_names_the_expected_folder(tmp_path):
    expected = tmp_path / "market1501" / "Market-1501-v15.09.15" / "bounding_box_train"
    assert f"Market-1501 not found: {expected} does not exist" in refusal(tmp_path)


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    assert f"the data root must be a folder, {tmp_path / 'nowhere'} is not one" in refusal(
        tmp_path / "nowhere"
    )


@pytest.mark.parametrize("folder", sorted(TREE))
@pytest.mark.parametrize("names", [[], ["-1_c1s1_000401_03.jpg"]], ids=["empty", "junk"])
def test_a_split_without_an_identity_is_refused(tmp_path, folder, names):
    plant(tmp_path, {**TREE, folder: names})
    message = refusal(tmp_path)
    assert message == f"Market-1501 needs images with an identity in {tmp_path / folder}, found none"


@pytest.mark.parametrize("folder", ["query", "bounding_box_test"])
def test_an_identity_in_train_and_test_is_refused(tmp_path, folder):
    names = ["0007_c1s1_000001_00.jpg", "0002_c1s1_000001_00.jpg", *TREE[folder]]
    plant(tmp_path, {**TREE, folder: names})
    message = refusal(tmp_path)
    assert re.search(r"identity 2 is in both \(2 in all\) under .*; unpack", message)
    assert str(tmp_path) in message


def test_the_training_images_need_not_exist_for_a_test(tmp_path):
    plant(tmp_path, {name: TREE[name] for name in ("query", "bounding_box_test")})
    dataset = load_market1501(tmp_path, train=False)
    assert (len(dataset.train), len(dataset.test), len(dataset.trials)) == (0, 3, 1)


def test_the_test_images_need_not_exist_for_training(tmp_path):
    plant(tmp_path, {"bounding_box_train": TREE["bounding_box_train"]})
    dataset = load_market1501(tmp_path, test=False)
    assert (len(dataset.train), len(dataset.test), dataset.trials) == (2, 0, ())

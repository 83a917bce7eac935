"""What every set in Market-1501's layout must do alike; Market-1501's own rules are in its own file."""

from pathlib import Path

import pytest
from trees import plant, refusal, rows_of

from reid.data import load_cuhk03, load_dukemtmc, load_occ_duke, load_veri

DUKE = {
    "bounding_box_train": ["0002_c1_f0000451.jpg", "0007_c8_f0046182.jpg"],
    "query": ["0001_c2_f0046182.jpg"],
    "bounding_box_test": ["0001_c3_f0000001.jpg", "0009_c1_f0000002.jpg"],
}
VERI = {
    "image_train": ["0002_c001_00030600_0.jpg", "0007_c020_00030600_1.jpg"],
    "image_query": ["0001_c002_00030600_0.jpg"],
    "image_test": ["0001_c003_00030600_0.jpg", "0009_c001_00030600_0.jpg"],
}
CUHK03 = {
    "labeled/bounding_box_train": ["0002_c1_1.png", "0007_c2_10.png"],
    "labeled/query": ["0001_c2_3.png"],
    "labeled/bounding_box_test": ["0001_c1_1.png", "0009_c1_2.png"],
}
SETS = {
    "DukeMTMC-reID": (load_dukemtmc, DUKE, [0, 7], [1, 2, 0]),
    "Occluded-Duke": (load_occ_duke, DUKE, [0, 7], [1, 2, 0]),
    "VeRi-776": (load_veri, VERI, [0, 19], [1, 2, 0]),
    "CUHK03-NP": (load_cuhk03, CUHK03, [0, 1], [1, 0, 0]),
}
every_set = pytest.mark.parametrize("title", SETS)
every_folder = pytest.mark.parametrize(
    ("title", "folder"), [(title, folder) for title, case in SETS.items() for folder in case[1]]
)


@every_set
def test_toy_tree(tmp_path, title):
    load, folders, train_cameras, test_cameras = SETS[title]
    dataset = load(plant(tmp_path / "exp_01_c3", folders))
    train, query, gallery = folders
    assert dataset.title.startswith(title.removesuffix("-NP"))
    assert dataset.train_rule == "train"
    assert rows_of(dataset.train) == [
        (f"{train}/{name}", pid, camera)
        for name, pid, camera in zip(folders[train], [2, 7], train_cameras, strict=True)
    ]
    paths = [f"{folder}/{name}" for folder in (query, gallery) for name in folders[folder]]
    assert rows_of(dataset.test) == list(zip(paths, [1, 1, 9], test_cameras, strict=True))
    (trial,) = dataset.trials
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0], [1, 2])


@every_folder
def test_a_missing_or_empty_folder_is_named(tmp_path, title, folder):
    load, folders, *_ = SETS[title]
    plant(tmp_path, {name: images for name, images in folders.items() if name != folder})
    assert refusal(load, tmp_path) == (
        f"{title} not found: {tmp_path / folder} does not exist; "
        f"see datasets/README.md for the expected folders"
    )
    (tmp_path / folder).mkdir()
    assert (
        refusal(load, tmp_path) == f"{title} needs images with an identity in {tmp_path / folder}, found none"
    )


@every_folder
@pytest.mark.parametrize(
    "name", ["-1_c1s1_000401_03.jpg", "0002_c0_f0000001.jpg", "0001_c21_1_1.png", "x.jpg"]
)
def test_another_name_is_refused_with_its_path(tmp_path, title, folder, name):
    load, folders, *_ = SETS[title]
    plant(tmp_path, {**folders, folder: [*folders[folder], name]})
    message = refusal(load, tmp_path)
    assert message.startswith(f"a {title} image is named like 0")
    assert f"got {tmp_path / folder / name}; rename or remove it" in message


@every_set
def test_an_identity_in_train_and_test_is_refused(tmp_path, title):
    load, folders, *_ = SETS[title]
    train, _, gallery = folders
    plant(tmp_path, {**folders, gallery: [*folders[gallery], *folders[train]]})
    assert f"{title} must not train on identities it tests on, identity 2 is in both (2 in all)" in refusal(
        load, tmp_path
    )


@every_set
def test_only_the_splits_asked_for_need_to_be_there(tmp_path, title):
    load, folders, *_ = SETS[title]
    train, query, gallery = folders
    plant(tmp_path / "a", {train: folders[train]})
    plant(tmp_path / "b", {query: folders[query], gallery: folders[gallery]})
    training, testing = load(tmp_path / "a", test=False), load(tmp_path / "b", train=False)
    assert (len(training.train), len(training.test), training.trials) == (2, 0, ())
    assert (len(testing.train), len(testing.test), len(testing.trials)) == (0, 3, 1)


SPELLINGS = [
    *[
        ("DukeMTMC-reID", spelling)
        for spelling in (
            "dukemtmcreid/DukeMTMC-reID",
            "dukemtmc-reid/DukeMTMC-reID",
            "dukemtmcreid",
            "DukeMTMC-reID",
            "DuckMTMC",
            ".",
        )
    ],
    *[("Occluded-Duke", spelling) for spelling in ("dukemtmcreid/Occluded_Duke", "Occluded_Duke", ".")],
    *[("VeRi-776", spelling) for spelling in ("VeRi", "veri", "VeRi-776", "VeRi_with_plate", ".")],
    *[("CUHK03-NP", spelling) for spelling in ("cuhk03-np", "CUHK03-NP", "cuhk03", "CUHK-03", ".")],
]


@pytest.mark.parametrize(("title", "spelling"), SPELLINGS)
def test_each_spelling_of_the_folder_is_found(tmp_path, title, spelling, log_of_reid):
    load, folders, *_ = SETS[title]
    plant(tmp_path / spelling, folders)
    assert load(tmp_path).train.root == tmp_path / spelling
    assert not log_of_reid.messages


@pytest.mark.parametrize(
    ("title", "first", "second"),
    [
        ("DukeMTMC-reID", "dukemtmcreid/DukeMTMC-reID", "DukeMTMC-reID"),
        ("Occluded-Duke", "dukemtmcreid/Occluded_Duke", "Occluded_Duke"),
        ("VeRi-776", "VeRi", "veri"),
        ("CUHK03-NP", "cuhk03-np", "cuhk03"),
    ],
)
def test_of_two_trees_the_first_is_taken_with_a_warning(tmp_path, title, first, second, log_of_reid):
    load, folders, *_ = SETS[title]
    for spelling in (first, second):
        plant(tmp_path / spelling, folders)
    assert load(tmp_path).train.root == tmp_path / first
    (message,) = log_of_reid.messages
    assert "is there more than once: using " in message
    assert f"{tmp_path / first}, not " in message
    assert str(tmp_path / second) in message


def test_two_names_of_one_folder_are_one_tree(tmp_path, log_of_reid):
    plant(tmp_path / "veri", VERI)
    (tmp_path / "VeRi").symlink_to(tmp_path / "veri")
    assert load_veri(tmp_path).train.root == tmp_path / "VeRi"
    assert not log_of_reid.messages


@pytest.mark.parametrize(
    ("load", "folder", "name", "expected"),
    [
        (load_dukemtmc, "bounding_box_train", "4545_c6_f0123456.JPG", (4545, 5)),
        (load_dukemtmc, "bounding_box_train", "0000_c1_1.png", (0, 0)),
        (load_veri, "image_train", "0776_c009_00078440_12.JPEG", (776, 8)),
        (load_veri, "image_train", "1_c10_1_0.jpg", (1, 9)),
        (load_cuhk03, "detected/bounding_box_train", "1467_c2_10.png", (1467, 1)),
    ],
)
def test_names(tmp_path, load, folder, name, expected):
    training = load(plant(tmp_path, {folder: [name]}), test=False).train
    assert rows_of(training) == [(str(Path(folder) / name), *expected)]

"""The release's MATLAB files, drawn small; the pre-split folders' rules are in test_market_layout.py."""

import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from trees import plant, refusal, rows_of

from reid.data import load_cuhk03, write_synthetic

NP = {
    f"{boxes}/{folder}": [name]
    for boxes in ("labeled", "detected")
    for folder, name in (
        ("bounding_box_train", "0002_c1_1.png"),
        ("query", "0001_c2_3.png"),
        ("bounding_box_test", "0001_c1_1.png"),
    )
}
# Eleven identities: the first pair has identities 1, 6 and 11.
SIZE = {"num_train_ids": 7, "num_test_ids": 4, "images_per_camera": 2, "image_size": (40, 32)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A release that was read once already, so its labeled images are files."""
    root = tmp_path_factory.mktemp("cuhk03") / "cuhk03"
    write_synthetic("cuhk03", root, **SIZE)
    load_cuhk03(root, boxes="labeled")
    return root


@pytest.fixture
def release(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "cuhk03")


def test_the_new_protocol_is_read_from_its_configuration(drawn):
    dataset = load_cuhk03(drawn, boxes="labeled")
    assert dataset.title == "drawn people in CUHK03's layout (labeled, new protocol)"
    assert (len(dataset.train), dataset.train.num_pids, dataset.train.num_camids) == (28, 7, 2)
    assert (len(dataset.test), dataset.test.num_pids, dataset.test.num_camids) == (24, 4, 2)
    assert rows_of(dataset.train)[:3] == [
        ("images_labeled/1_001_1_01.png", 1, 0),
        ("images_labeled/1_001_1_02.png", 1, 0),
        ("images_labeled/1_001_2_06.png", 1, 1),
    ]
    (trial,) = dataset.trials
    assert (len(trial.query), len(trial.gallery)) == (8, 16)
    # Identity 8 is the second of the third pair; its last image of each view is a query.
    assert rows_of(dataset.test.select(trial.query))[:2] == [
        ("images_labeled/3_002_1_03.png", 8, 0),
        ("images_labeled/3_002_2_08.png", 8, 1),
    ]


def test_a_classic_split_queries_with_the_first_camera_and_draws_from_the_second(drawn):
    dataset = load_cuhk03(drawn, boxes="labeled", protocol="classic", split=2)
    assert dataset.title == (
        "drawn people in CUHK03's layout (labeled, classic protocol split 2, "
        "mean of 100 single-shot galleries)"
    )
    # The second set goes on where the first one ended: persons 5 to 8 in drawing order.
    assert np.unique(dataset.test.pids).tolist() == [1_00_02, 2_00_02, 3_00_02, 5_00_01]
    assert not set(dataset.train.pids) & set(dataset.test.pids)
    assert len(dataset.train) + len(dataset.test) == 52
    assert len(dataset.trials) == 100
    for trial in dataset.trials:
        assert trial.query.tolist() == np.flatnonzero(dataset.test.camids == 0).tolist()
        assert dataset.test.pids[trial.gallery].tolist() == [1_00_02, 2_00_02, 3_00_02, 5_00_01]
        assert set(dataset.test.camids[trial.gallery].tolist()) == {1}
    assert len({tuple(trial.gallery) for trial in dataset.trials}) > 10


def test_a_split_of_its_own_tests_on_others(drawn):
    first, second = (
        load_cuhk03(drawn, boxes="labeled", protocol="classic", split=split).test.pids for split in (1, 2)
    )
    assert not {*first} & {*second}


@pytest.mark.parametrize("protocol", ["new", "classic"])
def test_only_the_splits_asked_for_are_given(drawn, protocol):
    training = load_cuhk03(drawn, boxes="labeled", protocol=protocol, test=False)
    testing = load_cuhk03(drawn, boxes="labeled", protocol=protocol, train=False)
    assert (len(training.test), training.trials, len(testing.train)) == (0, (), 0)
    assert len(training.train) > 0
    assert len(testing.trials) > 0


@pytest.mark.parametrize("protocol", ["new", "classic"])
def test_nothing_is_extracted_where_no_split_is_asked_for(release, protocol):
    dataset = load_cuhk03(release, boxes="detected", protocol=protocol, train=False, test=False)
    assert (len(dataset.train), len(dataset.test), dataset.trials) == (0, 0, ())
    assert not (release / "images_detected").exists()


def test_an_identity_in_train_and_test_is_refused(release):
    path = release / "cuhk03_new_protocol_config_labeled.mat"
    config = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    savemat(path, {**config, "train_idx": np.vstack([config["train_idx"], config["query_idx"][:1]])})
    assert "identity 8 is in both (1 in all)" in refusal(load_cuhk03, release, boxes="labeled")


def test_of_both_boxes_labeled_is_taken_with_a_warning_and_the_title_says_so(drawn, log_of_reid):
    assert "(labeled, new protocol)" in load_cuhk03(drawn).title
    (message,) = log_of_reid.messages
    assert f"using labeled in {drawn}, not detected in {drawn}; " in message


@pytest.mark.parametrize("boxes", ["labeled", "detected"])
def test_boxes_asked_for_are_taken_without_a_warning(release, boxes, log_of_reid):
    assert f"({boxes}, new protocol)" in load_cuhk03(release, boxes=boxes).title
    assert not log_of_reid.messages


def test_folders_come_before_the_release_and_the_classic_protocol_needs_the_release(release, log_of_reid):
    root = release.parent
    plant(root / "cuhk03-np", NP)
    assert load_cuhk03(root, boxes="labeled").train.root == root / "cuhk03-np"
    (message,) = log_of_reid.messages
    assert f"using labeled in {root / 'cuhk03-np'}, not labeled in {release}; " in message
    assert load_cuhk03(root, boxes="labeled", protocol="classic").train.root == release
    shutil.rmtree(release)
    expected = f"not found: {root / 'cuhk03/cuhk03_release/cuhk-03.mat'} does not exist"
    assert expected in refusal(load_cuhk03, root, protocol="classic")


def test_the_folders_of_the_boxes_asked_for_are_read(tmp_path):
    plant(tmp_path, NP)
    dataset = load_cuhk03(tmp_path, boxes="detected")
    assert dataset.title == "CUHK03 (detected, new protocol)"
    assert dataset.train.paths.tolist() == ["detected/bounding_box_train/0002_c1_1.png"]


@pytest.mark.parametrize("spelling", ["cuhk03", "CUHK-03", "CUHK03", "."])
def test_each_spelling_of_the_releases_folder_is_found(release, tmp_path, spelling):
    root = tmp_path / "elsewhere"
    shutil.copytree(release, root / spelling)
    assert load_cuhk03(root, boxes="labeled").train.root == root / spelling


def test_the_tree_can_be_moved(release, tmp_path):
    moved = release.rename(tmp_path / "moved")
    dataset = load_cuhk03(moved, boxes="labeled")
    assert dataset.train.path(0).is_file()
    assert dataset.train.root == moved


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"boxes": "label"}, "unknown kind of boxes in CUHK03 'label': did you mean 'labeled'?"),
        ({"protocol": "old"}, "unknown protocol of CUHK03 'old'"),
        ({"protocol": "classic", "split": 21}, "classic protocol must be in 1..20, got 21"),
        ({"protocol": "classic", "split": 0}, "classic protocol must be in 1..20, got 0"),
    ],
    ids=str,
)
def test_unknown_options_are_refused(drawn, options, expected):
    assert expected in refusal(load_cuhk03, drawn, **options)


def test_a_missing_file_is_named(release):
    config = release / "cuhk03_new_protocol_config_labeled.mat"
    config.unlink()
    assert f"CUHK03 not found: {config} does not exist" in refusal(load_cuhk03, release, boxes="labeled")
    mat = release / "cuhk03_release" / "cuhk-03.mat"
    mat.unlink()
    assert f"not found: {mat} does not exist" in refusal(load_cuhk03, release, protocol="classic")
    expected = f"CUHK03 detected not found: {release / 'cuhk03/cuhk03_release/cuhk-03.mat'} does not exist"
    assert expected in refusal(load_cuhk03, release, boxes="detected")


def test_extracted_images_serve_without_the_release(release):
    shutil.rmtree(release / "cuhk03_release")
    assert len(load_cuhk03(release, boxes="labeled").train) == 28


def test_a_listed_image_that_is_missing_is_refused(release):
    image = release / "images_labeled" / "1_001_1_02.png"
    image.unlink()
    assert f"names an image that does not exist: {image}; remove {image.parent}" in refusal(
        load_cuhk03, release, boxes="labeled"
    )


def test_another_name_among_the_extracted_images_is_refused(release):
    (release / "images_labeled" / "person.png").touch()
    message = refusal(load_cuhk03, release, protocol="classic")
    assert "named like 1_001_1_01.png, got person.png" in message

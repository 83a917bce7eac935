import pytest

from reid.data import load_msmt17
from reid.utils import InputError

LISTS = {
    "train": ["0000/0000_000_01_0303morning_0015_0.jpg 0", "0001/0001_000_15_0303noon_0001_1.jpg 1"],
    "val": ["0000/0000_001_03_0303morning_0016_0.jpg 0"],
    "query": ["0000/0000_000_02_0303afternoon_0010_0.jpg 0"],
    "gallery": ["0000/0000_001_14_0303afternoon_0011_0.jpg 0", "0005/0005_000_09_0303noon_0001_0.jpg 5"],
}
FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
SPELLINGS = ["MSMT17_V1", "MSMT17", "msmt17", "MSMT17_V2", "."]


def plant(tree, version="V1", lists=LISTS):
    train, test = FOLDERS[version]
    for split, lines in lists.items():
        folder = tree / (train if split in ("train", "val") else test)
        folder.mkdir(parents=True, exist_ok=True)
        for line in lines:
            image = folder / line.split(" ")[0]
            image.parent.mkdir(exist_ok=True)
            image.touch()
        (tree / f"list_{split}.txt").write_text("".join(f"{line}\n" for line in lines))
    return tree


def refusal(root, **options):
    with pytest.raises(InputError) as caught:
        load_msmt17(root, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_toy_tree(tmp_path, version, log_of_reid):
    dataset = load_msmt17(plant(tmp_path, version))
    train, test = FOLDERS[version]
    assert (dataset.name, dataset.title) == ("msmt17", f"MSMT17 {version}")
    assert dataset.train.paths.tolist() == [
        f"{train}/0000/0000_000_01_0303morning_0015_0.jpg",
        f"{train}/0001/0001_000_15_0303noon_0001_1.jpg",
        f"{train}/0000/0000_001_03_0303morning_0016_0.jpg",
    ]
    assert dataset.train.pids.tolist() == [0, 1, 0]
    assert dataset.train.camids.tolist() == [0, 14, 2]
    assert dataset.test.paths.tolist() == [
        f"{test}/0000/0000_000_02_0303afternoon_0010_0.jpg",
        f"{test}/0000/0000_001_14_0303afternoon_0011_0.jpg",
        f"{test}/0005/0005_000_09_0303noon_0001_0.jpg",
    ]
    assert dataset.test.pids.tolist() == [0, 0, 5]
    assert dataset.test.camids.tolist() == [1, 13, 8]
    (trial,) = dataset.trials
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0], [1, 2])
    assert not log_of_reid.messages


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_each_spelling_of_the_folder_is_found(tmp_path, spelling, version):
    plant(tmp_path / spelling, version)
    dataset = load_msmt17(tmp_path)
    assert (dataset.train.root, dataset.title) == (tmp_path / spelling, f"MSMT17 {version}")


def test_underscores_in_the_root_are_no_camera(tmp_path):
    dataset = load_msmt17(plant(tmp_path / "exp_01_c3_07_x"))
    assert dataset.train.camids.tolist() == [0, 14, 2]


@pytest.mark.parametrize(("use_val", "rule", "count"), [(True, "train+val", 3), (False, "train", 2)])
def test_the_rule_of_training_is_told(tmp_path, use_val, rule, count):
    dataset = load_msmt17(plant(tmp_path), use_val=use_val)
    assert (dataset.train_rule, len(dataset.train)) == (rule, count)


def test_the_list_of_val_need_not_exist_where_it_is_not_used(tmp_path):
    plant(tmp_path, lists={split: lines for split, lines in LISTS.items() if split != "val"})
    assert len(load_msmt17(tmp_path, use_val=False).train) == 2
    assert f"MSMT17 V1 not found: {tmp_path / 'list_val.txt'} does not exist" in refusal(tmp_path)


@pytest.mark.parametrize("places", [(".", "."), ("MSMT17_V1", "MSMT17_V2")], ids=["together", "apart"])
def test_of_both_versions_the_first_is_taken_with_a_warning(tmp_path, places, log_of_reid):
    for place, version in zip(places, ("V1", "V2"), strict=True):
        plant(tmp_path / place, version)
    assert load_msmt17(tmp_path).title == "MSMT17 V1"
    (message,) = log_of_reid.messages
    first, second = (tmp_path / place for place in places)
    assert f"using V1 in {first}, not V2 in {second}" in message


def test_two_spellings_of_one_version_are_a_warning(tmp_path, log_of_reid):
    for spelling in ("MSMT17", "MSMT17_V1"):
        plant(tmp_path / spelling)
    assert load_msmt17(tmp_path, version="V1").train.root == tmp_path / "MSMT17_V1"
    (message,) = log_of_reid.messages
    assert f"using V1 in {tmp_path / 'MSMT17_V1'}, not V1 in {tmp_path / 'MSMT17'}; " in message


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_a_version_asked_for_is_taken_without_a_warning(tmp_path, version, log_of_reid):
    for present in ("V1", "V2"):
        plant(tmp_path / f"MSMT17_{present}", present)
    dataset = load_msmt17(tmp_path, version=version)
    assert dataset.title == f"MSMT17 {version}"
    assert dataset.test.root == tmp_path / f"MSMT17_{version}"
    assert not log_of_reid.messages


def test_a_version_that_is_not_there_is_refused(tmp_path):
    plant(tmp_path)
    expected = tmp_path / "MSMT17_V2" / "mask_train_v2"
    assert f"MSMT17 V2 not found: {expected} does not exist" in refusal(tmp_path, version="V2")


def test_an_unknown_version_is_refused(tmp_path):
    assert refusal(plant(tmp_path), version="V3").startswith("unknown MSMT17 version 'V3'")


def test_a_folder_called_train_is_no_msmt17_without_the_lists(tmp_path):
    (tmp_path / "train").mkdir()
    expected = tmp_path / "MSMT17_V1" / "train"
    assert refusal(tmp_path) == (
        f"MSMT17 not found: {expected} does not exist; see datasets/README.md for the expected folders"
    )


def test_a_root_that_is_no_folder_is_refused(tmp_path):
    assert f"the data root must be a folder, {tmp_path / 'nowhere'} is not one" in refusal(
        tmp_path / "nowhere"
    )


@pytest.mark.parametrize(
    "line",
    [
        "0000/0000_000_01_0303morning_0015_0.jpg",
        "0000/0000_000_01_0303morning_0015_0.jpg -1",
        "0000/0000_000_01_0303morning_0015_0.jpg zero",
        "0000/0000_000_16_0303morning_0015_0.jpg 0",
        "0000/0000_000_00_0303morning_0015_0.jpg 0",
        "0000/0000_000_x_0303morning_0015_0.jpg 0",
        "a_b_03_d/0000.jpg 0",
        "nothing",
    ],
)
def test_a_malformed_line_is_refused_with_its_number(tmp_path, line):
    plant(tmp_path)
    path = tmp_path / "list_query.txt"
    path.write_text(f"{LISTS['query'][0]}\n\n{line}\n")
    message = refusal(tmp_path)
    assert message.startswith(f"{path}:3 must read like '0000/0000_000_01_0303morning_0015_0.jpg 0'")
    assert message.endswith(f"got '{line}'")


@pytest.mark.parametrize("split", sorted(LISTS))
def test_a_listed_image_that_is_missing_is_refused_with_its_line(tmp_path, split):
    plant(tmp_path)
    path = tmp_path / f"list_{split}.txt"
    name = "0000/0000_009_01_0303morning_0099_0.jpg"
    path.write_text(f"\n{LISTS[split][0]}\n{name} 0\n")
    folder = "train" if split in ("train", "val") else "test"
    message = refusal(tmp_path)
    assert message.startswith(f"{path}:3 names an image that does not exist: {tmp_path / folder / name};")


@pytest.mark.parametrize("split", sorted(LISTS))
def test_an_empty_list_is_refused(tmp_path, split):
    plant(tmp_path)
    (tmp_path / f"list_{split}.txt").write_text("\n")
    assert refusal(tmp_path).startswith(f"{tmp_path / f'list_{split}.txt'} must list images, it is empty")


@pytest.mark.parametrize("split", sorted(LISTS))
def test_a_missing_list_is_named(tmp_path, split):
    plant(tmp_path)
    (tmp_path / f"list_{split}.txt").unlink()
    assert f"MSMT17 V1 not found: {tmp_path / f'list_{split}.txt'} does not exist" in refusal(tmp_path)


def test_the_training_images_need_not_exist_for_a_test(tmp_path):
    plant(tmp_path, lists={split: LISTS[split] for split in ("query", "gallery")})
    dataset = load_msmt17(tmp_path, train=False)
    assert (len(dataset.train), len(dataset.test), len(dataset.trials)) == (0, 3, 1)


def test_the_test_images_need_not_exist_for_training(tmp_path):
    plant(tmp_path, lists={split: LISTS[split] for split in ("train", "val")})
    dataset = load_msmt17(tmp_path, test=False)
    assert (len(dataset.train), len(dataset.test), dataset.trials) == (3, 0, ())

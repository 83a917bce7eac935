import pytest
from small import draw_people

from reid.data import load_market1501
from reid.engine.image_list import read_image_list
from reid.utils import InputError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data"))


def columns(records):
    return records.paths.tolist(), records.pids.tolist(), records.camids.tolist()


def test_a_folder_is_its_images_and_those_below_of_unknown_identity(people):
    found = read_image_list(people.name, people.parent)
    names = sorted(path.relative_to(people).as_posix() for path in people.rglob("*.jpg"))
    assert found.records.paths.tolist() == names
    assert set(found.records.pids) == set(found.records.camids) == {-1}
    assert (found.name, found.title, found.records.root) == (str(people), str(people), people)


def test_identity_folders_tell_identities_where_they_are_named_so(tmp_path):
    for name in ("anna/1_c1.jpg", "anna/2_c2.jpg", "bert/3_c1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    records = read_image_list("folders:.", tmp_path).records
    assert (sorted(records.pids), sorted(records.camids)) == ([0, 0, 1], [0, 0, 1])
    assert set(read_image_list(".", tmp_path).records.pids) == {-1}


def test_splits_of_a_data_set(people):
    whole = load_market1501(people)
    trial = whole.trials[0]
    expected = {
        "train": whole.train,
        "test": whole.test,
        "query": whole.test.select(trial.query),
        "gallery": whole.test.select(trial.gallery),
        "all": whole.train.append(whole.test),
    }
    for split, records in expected.items():
        found = read_image_list("market1501", people, split)
        assert columns(found.records) == columns(records), split
        assert found.name == "market1501"
        assert found.title.endswith(f" {split}")


def test_a_list_and_its_splits(people, tmp_path):
    names = sorted(path.relative_to(people).as_posix() for path in people.rglob("*.jpg"))[:4]
    listing = people / "list.csv"
    rows = zip(names, (3, 4, 5, 5), ("train", "query", "gallery", "gallery"), strict=True)
    listing.write_text("path,pid,camid,split\n" + "".join(f"{n},{p},0,{s}\n" for n, p, s in rows))
    assert read_image_list("list.csv", people).records.pids.tolist() == [3, 4, 5, 5]
    assert read_image_list(str(listing), tmp_path, "gallery").records.pids.tolist() == [5, 5]
    listing.write_text("path\n" + "\n".join(names))
    assert read_image_list("list.csv", people).records.pids.tolist() == [-1] * 4
    with pytest.raises(InputError, match=r"no query and gallery; use --split train, test or all"):
        read_image_list("list.csv", people, "query")
    with pytest.raises(InputError, match="no images in its split test"):
        read_image_list("list.csv", people, "test")


def test_one_of_several_trials_must_be_named(tmp_path):
    for split, number in (("train", 1), ("test", 2), ("test", 3)):
        for camera in (1, 2):
            path = tmp_path / "vehicles2cam" / "images" / split / f"car_{number:04d}_cam{camera}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for trial in (None, 0, 3):
        with pytest.raises(InputError, match=r"--trial must be 1 to 2, got (none|0|3)$"):
            read_image_list("vehicles2cam", tmp_path, "query", trial)
    found = [read_image_list("vehicles2cam", tmp_path, "query", trial).records for trial in (1, 2)]
    assert [set(records.camids) for records in found] == [{0}, {1}]
    with pytest.raises(InputError, match="leave the trial out"):
        read_image_list("vehicles2cam", tmp_path, "test", 1)


@pytest.mark.parametrize(
    ("images", "split", "message"),
    [
        ("nowhere", "all", "nowhere is no folder"),
        ("markt1501", "all", "did you mean 'market1501'"),
        ("none.csv", "all", "none.csv is not one"),
        (".", "query", "a folder has no splits, got query"),
        (".", "half", "unknown split 'half'"),
    ],
)
def test_what_names_no_images_is_refused(people, images, split, message):
    with pytest.raises(InputError) as caught:
        read_image_list(images, people, split)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)

import shutil
from functools import partial

import pytest
from PIL import Image

from reid.data import LOADERS, load_dataset, write_synthetic
from reid.data.check import HEADER, Published, find_sets, report, report_sets
from reid.data.check.published import Count
from reid.utils import InputError

# What small_market draws: 5 and 3 identities, 2 cameras, 2 images a camera, 4 distractors.
DRAWN = {"train": Count(20, 5), "query": Count(6, 3), "gallery": Count(16, 4)}


@pytest.fixture
def market(small_market, tmp_path):
    root = tmp_path / "root" / "market1501"
    shutil.copytree(small_market, root)
    return root


def check(root, names=LOADERS, open_images=True):
    return report_sets(find_sets(partial(load_dataset, root=root), root, names), open_images=open_images)


def publish(monkeypatch, cameras=2, **splits):
    published = Published("market1501", "", "us", cameras, DRAWN | splits)
    monkeypatch.setattr(report, "published_counts", lambda dataset: published)


def test_a_set_as_published_is_well(market, monkeypatch):
    publish(monkeypatch)
    (found,) = check(market.parent)
    assert found.findings() == []
    assert "trains on train, published by us" in found.headline()
    assert [len(row) for row in found.rows()] == [len(HEADER)] * 4
    assert found.rows()[2] == ["gallery", "16", "16", "4", "4", "2", ""]
    assert found.rows()[3] == ["all", "42", "", "", "", "2", "2"]
    facts = found.as_dict()
    assert facts["is_well"]
    assert facts["splits"]["query"] == {"images": 6, "identities": 3, "cameras": 2}
    assert facts["published"]["splits"]["query"] == {"images": 6, "identities": 3}


def test_a_set_without_published_counts_is_well_too(market):
    (found,) = check(market.parent)
    assert (found.findings(), found.published, found.as_dict()["published"]) == ([], None, None)
    assert "drawn people" in found.headline()


def test_counts_that_are_not_the_published_ones_are_named(market, monkeypatch):
    publish(monkeypatch, cameras=6, train=Count(1_234, 5), query=Count(6, 2))
    (found,) = check(market.parent, open_images=False)
    assert found.findings() == [
        "train has 20 images, published are 1,234",
        "query has 3 identities, published are 2",
        "there are 2 cameras, published are 6",
    ]
    assert found.as_dict()["deviations"] == found.findings()


def test_images_that_cannot_be_read_are_named_unless_none_is_opened(market):
    names = sorted((market / "bounding_box_train").glob("*.jpg"))[:2]
    names[0].write_bytes(b"")
    names[1].write_bytes(names[1].read_bytes()[:200])
    (found,) = check(market.parent)
    assert [str(names[0]) in found.findings()[0], str(names[1]) in found.findings()[1]] == [True, True]
    assert "it is empty" in found.findings()[0]
    assert found.as_dict()["unreadable"] == found.findings()
    (unopened,) = check(market.parent, open_images=False)
    assert unopened.findings() == []
    assert "images not opened" in unopened.headline()


def test_the_same_file_in_train_and_test_or_under_two_identities_is_named(market):
    train, test = (sorted((market / split).glob("*.jpg")) for split in ("bounding_box_train", "query"))
    shutil.copy(train[0], test[0])
    shutil.copy(test[1], market / "bounding_box_test" / test[-1].name)
    # Twice under one identity is no fault.
    shutil.copy(train[1], train[1].with_name(f"{train[1].stem}_copy.jpg"))
    (found,) = check(market.parent)
    leak, contradiction = found.findings()
    assert leak == f"in training and in test: bounding_box_train/{train[0].name}, query/{test[0].name}"
    assert contradiction.startswith(f"of two identities: query/{test[1].name}, bounding_box_test/")
    assert found.as_dict()["in_train_and_test"] == [
        [f"bounding_box_train/{train[0].name}", f"query/{test[0].name}"]
    ]


def test_many_findings_of_a_kind_are_shortened_for_people_alone(market, monkeypatch):
    monkeypatch.setattr(report, "MOST_SHOWN", 3)
    for path in (market / "bounding_box_train").glob("*.jpg"):
        path.write_bytes(b"")
    (found,) = check(market.parent)
    assert len(found.findings()) == 4
    assert found.findings()[3] == "... and 17 more like this"
    assert len(found.as_dict()["unreadable"]) == 20


def test_a_set_that_its_parser_refuses_is_reported_with_the_reason(market):
    (market / "query" / "portrait.jpg").touch()
    (found,) = check(market.parent)
    assert "portrait.jpg" in found.findings()[0]
    assert (found.rows()[0][1], found.as_dict()["is_well"]) == ("0", False)


def test_every_set_under_the_root_is_found_and_nothing_else(market, tmp_path):
    for split in ("train", "test"):
        folder = market.parent / "vehicles2cam" / "images" / split
        folder.mkdir(parents=True)
        for camera in (1, 2):
            Image.new("RGB", (5, 4), (camera, len(split), 0)).save(folder / f"car_0001_cam{camera}.png")
    assert [found.name for found in check(market.parent)] == ["market1501", "vehicles2cam"]
    assert [found.name for found in check(market)] == ["market1501"]
    (tmp_path / "empty").mkdir()
    assert check(tmp_path / "empty") == []
    with pytest.raises(InputError, match="the data root must be a folder"):
        check(tmp_path / "absent")


def test_of_the_sets_that_read_one_folder_the_published_one_is_reported(tmp_path, monkeypatch):
    root = tmp_path / "tree"
    write_synthetic("dukemtmc", root, num_train_ids=2, num_test_ids=2, num_cameras=2, image_size=(32, 32))
    names = ["market1501", "dukemtmc", "occ_duke"]
    assert [found.name for found in check(root, open_images=False)] == names
    splits = {"train": Count(16, 2), "query": Count(4, 2), "gallery": Count(16, 2)}
    known = {name: Published(name, "", "us", 2, splits | {"query": Count(3, 2)}) for name in names}
    known["dukemtmc"] = Published("dukemtmc", "", "us", 2, splits)
    monkeypatch.setattr(report, "published_counts", lambda dataset: known[dataset.name])
    (found,) = check(root, open_images=False)
    assert (found.name, found.findings()) == ("dukemtmc", [])

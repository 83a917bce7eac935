import pytest

from reid.data import LOADERS, load_dataset, write_synthetic
from reid.data.check import PUBLISHED, published_counts
from reid.data.check.counts import count_splits


def test_every_published_set_has_a_loader():
    assert {published.dataset for published in PUBLISHED} <= set(LOADERS)


@pytest.mark.parametrize(
    ("layout", "options", "train_images"),
    [
        ("market1501", {}, 12_936),
        ("dukemtmc", {}, 16_522),
        ("occ_duke", {}, 15_618),
        ("msmt17", {}, 32_621),
        ("msmt17", {"msmt_use_val": False}, 30_248),
        ("cuhk03_np", {"cuhk03_boxes": "labeled"}, 7_368),
        ("cuhk03_np", {"cuhk03_boxes": "detected"}, 7_365),
        ("veri", {}, 37_778),
        ("vehicleid", {}, 113_346),
    ],
)
def test_each_version_has_its_own_counts_and_the_splits_that_are_reported(
    tmp_path, layout, options, train_images
):
    root = tmp_path / "tree"
    sizes = {"num_train_ids": 2, "num_test_ids": 2, "num_cameras": 2, "images_per_camera": 2}
    write_synthetic(layout, root, **sizes, image_size=(32, 32))
    name = layout.removesuffix("_np")
    assert published_counts(load_dataset(name, root, **options)) is None
    (root / "synthetic.json").unlink()
    dataset = load_dataset(name, root, **options)
    published = published_counts(dataset)
    assert published.splits["train"].images == train_images
    assert list(published.splits) == [split.split for split in count_splits(dataset)]


@pytest.mark.parametrize(("size", "images"), [(800, 6_493), (1600, 13_377), (2400, 19_777)])
def test_vehicleids_test_lists_are_told_apart(size, images):
    (published,) = (one for one in PUBLISHED if one.version == f"test list {size},")
    assert published.splits["test"] == (images, size)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda one: f"{one.dataset} {one.version}".strip())
def test_counts_are_of_whole_sets(published):
    assert published.source
    for images, identities in published.splits.values():
        assert images >= identities > 0

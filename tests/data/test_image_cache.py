import numpy as np
import pytest
import torch
from PIL import Image

from reid.data import ImageError, Records, iterate, set_epoch, shuffled_loader, train_loader, train_transform
from reid.data.image_cache import ImageCache
from reid.utils import InputError

HALF = [0.5, 0.5, 0.5]
PIDS = [4, 4, 4, 7, 7, 7, 7, 2]
LARGE = (400, 400)  # two of them in a megabyte


@pytest.fixture
def records(tmp_path):
    rng = np.random.default_rng(0)
    for row in range(len(PIDS)):
        pixels = rng.integers(0, 256, (20 + row, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    return Records.from_rows(tmp_path, [(f"{row}.png", pid, 0, row % 3) for row, pid in enumerate(PIDS)])


def labelled(records, size, workers, cache_mb):
    return train_loader(records, train_transform(size, HALF, HALF), 2, 2, 5, workers, cache_mb)


def unlabelled(records, size, workers, cache_mb):
    return shuffled_loader(records, train_transform(size, HALF, HALF), 3, 5, workers, cache_mb)


def drawn(loader, *epochs):
    batches = []
    for epoch in epochs:
        set_epoch(loader, epoch)
        batches += list(iterate(loader))
    return batches


def cache_of(loader):
    return loader.dataset.images.cache


@pytest.mark.parametrize("make", [labelled, unlabelled])
@pytest.mark.parametrize(("size", "workers"), [((24, 16), 0), ((24, 16), 2), (LARGE, 0)])
def test_batches_are_the_same_to_the_bit_with_and_without_a_cache(records, make, size, workers):
    cached = make(records, size, workers, 1)
    expected, batches = drawn(make(records, size, 0, 0), 0, 1, 1), drawn(cached, 0, 1, 1)
    assert len(batches) == len(expected) > 0
    for batch, other in zip(batches, expected, strict=True):
        for one, two in zip(batch, other, strict=True):
            assert torch.equal(one, two)
    assert cache_of(cached).is_filled.any()


@pytest.mark.parametrize("workers", [0, 2])
def test_kept_images_are_not_read_again_by_any_worker(records, workers):
    loader = unlabelled(records, (24, 16), workers, 1)
    drawn(loader, 0)
    assert cache_of(loader).is_filled.tolist() == [True] * len(PIDS)
    for row in range(len(PIDS)):
        records.path(row).unlink()
    assert len(drawn(loader, 1)) == 3


def test_images_beyond_the_budget_are_read_each_time(records):
    loader = unlabelled(records, LARGE, 0, 1)
    drawn(loader, 0)
    assert cache_of(loader).is_filled.tolist() == [True, True]
    records.path(1).unlink()
    drawn(loader, 1)
    records.path(2).unlink()
    with pytest.raises(ImageError, match=r"2\.png is not: it does not exist"):
        drawn(loader, 2)


@pytest.mark.parametrize(("images", "megabytes"), [(3, 50), (100, 1), (100, 2)])
def test_no_more_than_the_budget_is_taken_and_no_more_than_the_images_need(images, megabytes):
    cache = ImageCache(images, (60, 50), megabytes)
    taken = cache.pixels.nbytes + cache.is_filled.nbytes
    one = 60 * 50 * 3 + 1
    assert taken == min(images, megabytes * 1_000_000 // one) * one
    assert taken <= megabytes * 1_000_000
    assert cache.pixels.is_shared()
    assert cache.is_filled.is_shared()


def test_what_is_kept_cannot_be_changed_from_outside():
    cache, image = ImageCache(2, (3, 2), 1), Image.new("RGB", (2, 3), (1, 2, 3))
    assert cache.get(1) is None
    cache.put(1, image)
    image.putpixel((0, 0), (9, 9, 9))
    cache.get(1).putpixel((0, 0), (9, 9, 9))
    assert cache.get(1).getpixel((0, 0)) == (1, 2, 3)
    assert cache.get(0) is None


def test_a_damaged_image_is_refused_until_it_is_mended(records):
    path = records.path(0)
    content = path.read_bytes()
    path.write_bytes(content[:60])
    loader = unlabelled(records, (24, 16), 0, 1)
    for _ in range(2):
        with pytest.raises(ImageError, match=r"0\.png is not"):
            drawn(loader, 0)
    path.write_bytes(content)
    assert len(drawn(loader, 0)) == 3


def test_a_cache_that_cannot_be_is_refused(records):
    with pytest.raises(InputError, match=r"at least one image of 600x600, 1,080,001 bytes, got 1 MB"):
        unlabelled(records, (600, 600), 0, 1)
    with pytest.raises(InputError, match=r"a cache of 10000000000 MB must fit into shared memory, it does"):
        ImageCache(10**15, (10, 10), 10**10)
    with pytest.raises(TypeError, match="only what a SizedTransform resizes can be kept, got function"):
        shuffled_loader(records, lambda image: image, 3, 5, 0, 1)

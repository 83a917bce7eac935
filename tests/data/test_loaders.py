import multiprocessing
import random
import re

import numpy as np
import pytest
import torch
from naive_sampler import pk_faults
from PIL import Image
from torch.utils.data import DataLoader

from reid.data import ImageError, Records, iterate, paths_of, plain_loader, set_epoch, train_loader
from reid.data.loaders import seeded_generators, shuffled_loader
from reid.utils import InputError

PIDS = [40, 40, 40, 7, 7, 7, 7, 23, 40]
VIEWS = [5, -1, 0, 1, 2, 7, 4, 3, 6]


def to_tensor(image):
    return torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)


def noisy(image):
    """Draws from all three generators, as a transform may."""
    return to_tensor(image) + random.random() + float(np.random.rand()) + torch.rand(3, 6, 4)


@pytest.fixture
def records(tmp_path):
    for row in range(len(PIDS)):
        Image.new("RGB", (4, 6), (row * 10, 0, 255)).save(tmp_path / f"{row}.png")
    return Records.from_rows(
        tmp_path, [(f"{row}.png", pid, row % 3, VIEWS[row]) for row, pid in enumerate(PIDS)]
    )


def make_train(records, workers=0, seed=5, transform=noisy):
    return train_loader(records, transform, 2, 2, seed, workers)


def make_shuffled(records, workers=0, seed=5, transform=noisy):
    return shuffled_loader(records, transform, 4, seed, workers)


def make_plain(records, workers=0, transform=to_tensor):
    return plain_loader(records, transform, 4, workers)


training = pytest.mark.parametrize("make", [make_train, make_shuffled], ids=["train", "shuffled"])
every_loader = pytest.mark.parametrize(
    "make", [make_train, make_shuffled, make_plain], ids=["train", "shuffled", "plain"]
)


def drawn(loader, epoch=0):
    set_epoch(loader, epoch)
    return list(iterate(loader))


def assert_same(batches, others):
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others, strict=True):
        for one, two in zip(batch, other, strict=True):
            assert torch.equal(one, two)


def generator_states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_training_batches_have_class_labels_and_the_rows_they_come_from(records):
    loader = make_train(records, transform=to_tensor)
    batches = drawn(loader)
    assert len(loader) == len(batches)
    rows = [batch.indices.tolist() for batch in batches]
    assert pk_faults(rows, PIDS, 2, 2) == []
    classes = {7: 0, 23: 1, 40: 2}
    for batch in batches:
        assert batch.images.shape == (4, 3, 6, 4)
        assert batch.pids.tolist() == [classes[PIDS[row]] for row in batch.indices]
        assert batch.camids.tolist() == [row % 3 for row in batch.indices.tolist()]
        assert batch.images[:, 0, 0, 0].tolist() == [row * 10.0 for row in batch.indices]


def test_shuffled_batches_show_every_image_once_with_its_own_identity(records):
    loader = make_shuffled(records, transform=to_tensor)
    batches = drawn(loader)
    assert [len(batch.images) for batch in batches] == [4, 4, 1]
    assert len(loader) == 3
    assert sorted(row for batch in batches for row in batch.indices.tolist()) == list(range(9))
    for batch in batches:
        assert batch.pids.tolist() == [PIDS[row] for row in batch.indices]


def test_shuffled_batches_need_no_identities(records):
    unknown = Records(records.root, records.paths, np.full(9, -1), np.full(9, -1))
    assert len(drawn(make_shuffled(unknown))) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_plain_batches_show_every_image_in_order(records, workers):
    loader = make_plain(records, workers)
    batches = list(iterate(loader))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert [pid for batch in batches for pid in batch.pids.tolist()] == PIDS
    assert [float(image[0, 0, 0]) for batch in batches for image in batch.images] == [
        row * 10.0 for row in range(9)
    ]


@pytest.mark.parametrize("workers", [0, 2])
@every_loader
def test_every_loader_gives_the_views_of_its_rows(records, make, workers):
    for batch in iterate(make(records, workers)):
        assert batch.viewids.tolist() == [VIEWS[row] for row in batch.indices]


@every_loader
def test_the_files_of_a_batch_are_those_of_its_images(records, make):
    """Each holds the colour that the batch shows."""
    loader = make(records, transform=to_tensor)
    for batch in iterate(loader):
        shown = [int(image[0, 0, 0]) for image in batch.images]
        assert [Image.open(path).getpixel((0, 0))[0] for path in paths_of(loader, batch)] == shown


def test_loaders_of_other_things_know_no_files(records):
    batch = next(iter(make_plain(records)))
    with pytest.raises(TypeError, match="only loaders of images know files, got one over list"):
        paths_of(DataLoader([1, 2]), batch)


@every_loader
def test_views_are_unknown_where_the_records_have_none(records, make):
    bare = Records(records.root, records.paths, records.pids, records.camids)
    for batch in iterate(make(bare)):
        assert batch.viewids.tolist() == [-1] * len(batch.indices)


@training
def test_batches_do_not_depend_on_the_number_of_workers(records, make):
    alone, helped = make(records), make(records, 2)
    for epoch in (0, 3):
        assert_same(drawn(alone, epoch), drawn(helped, epoch))


@training
def test_batches_do_not_depend_on_what_ran_before(records, make):
    expected = drawn(make(records), 2)
    loader = make(records)
    drawn(loader, 0)
    set_epoch(loader, 1)
    next(iterate(loader))
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    assert_same(drawn(loader, 2), expected)
    assert_same(drawn(loader, 2), expected)


@training
def test_another_epoch_and_another_seed_draw_and_augment_differently(records, make):
    loader = make(records)
    first, second, other = drawn(loader, 0), drawn(loader, 1), drawn(make(records, seed=6), 0)
    for batches in (second, other):
        assert [batch.indices.tolist() for batch in batches] != [batch.indices.tolist() for batch in first]
    # The augmentation of one image: what noisy added to its known red channel.
    noise = [
        (batch.images[place, 0] - 10 * row).sum().item()
        for batches in (first, second, other)
        for batch in batches
        for place, row in enumerate(batch.indices.tolist())
    ]
    assert len(set(noise)) == len(noise)


def test_an_image_drawn_twice_is_augmented_in_two_ways(records):
    loader = train_loader(records.select(np.array([7])), noisy, 1, 3, 0, 0)
    (batch,) = drawn(loader)
    assert batch.indices.tolist() == [0, 0, 0]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(batch.images[one], batch.images[two])


@pytest.mark.parametrize("workers", [0, 2])
@every_loader
def test_the_global_generators_are_left_alone(records, make, workers):
    before = generator_states()
    assert list(iterate(make(records, workers)))
    assert generator_states() == before


def test_seeded_generators_give_the_states_back_after_an_error_too():
    before = generator_states()

    def draw_and_fail():
        with seeded_generators(1, 2, 3):
            raise ValueError(f"{random.random()} {np.random.rand()} {torch.rand(1)}")

    with pytest.raises(ValueError, match="tensor"):
        draw_and_fail()
    assert generator_states() == before


def test_seeded_generators_are_a_function_of_all_their_numbers():
    def draw(*numbers):
        with seeded_generators(*numbers):
            return random.random(), float(np.random.rand()), float(torch.rand(1))

    draws = [draw(0, 0, 0), draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1)]
    assert draw(0, 0, 1) == draws[3]
    for values in zip(*draws, strict=True):
        assert len(set(values)) == 4


@pytest.mark.parametrize("workers", [0, 2])
@every_loader
def test_a_damaged_image_arrives_as_one_line_with_its_path(records, make, workers):
    for row in range(9):
        path = records.path(row)
        path.write_bytes(path.read_bytes()[:50])
    one_line = rf"\Aan image must be readable, {re.escape(str(records.root))}[^\n]*; restore or remove it\Z"
    # No "as caught": it would keep the loader alive in a cycle, and its late collection waits for workers.
    with pytest.raises(ImageError, match=one_line):
        list(iterate(make(records, workers)))


def test_no_worker_is_left_after_a_damaged_image(records):
    records.path(0).write_bytes(b"")
    before = multiprocessing.active_children()
    with pytest.raises(ImageError):
        list(iterate(make_plain(records, 2)))
    assert multiprocessing.active_children() == before


def test_another_error_is_not_touched(records):
    def fail(image):
        raise ZeroDivisionError("in the transform")

    with pytest.raises(ZeroDivisionError, match="in the transform"):
        list(iterate(make_plain(records, transform=fail)))


def test_a_plain_loader_has_no_epochs(records):
    with pytest.raises(TypeError, match="only a training loader has epochs, got one over BatchSampler"):
        set_epoch(make_plain(records), 1)


def test_what_cannot_be_loaded_is_refused(records):
    with pytest.raises(InputError, match="the batch size must be at least 1, got 0"):
        plain_loader(records, to_tensor, 0, 0)
    with pytest.raises(InputError, match="need at least 1 image"):
        shuffled_loader(Records.empty(records.root), to_tensor, 4, 0, 0)
    with pytest.raises(InputError, match="a batch needs 4 identities, the training images show 3"):
        train_loader(records, to_tensor, 4, 2, 0, 0)
    unknown = Records(records.root, records.paths, np.full(9, -1), records.camids)
    with pytest.raises(InputError, match="training needs the identity of every image, 9 of 9 have none"):
        train_loader(unknown, to_tensor, 2, 2, 0, 0)

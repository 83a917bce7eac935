import random

import numpy as np
import pytest
import torch
from naive_sampler import pk_faults

from reid.data import PKSampler
from reid.data.samplers import ShuffledSampler
from reid.utils import InputError

TOY = [5, 5, 9, 9, 5, 5, 9, 9]  # two identities of four images: two batches of 2 x 2


def uneven_labels(seed):
    """1 to 9 images for each of 12 identities, in random order."""
    rng = np.random.default_rng(seed)
    return rng.permutation(np.repeat(np.arange(12) * 3, rng.integers(1, 10, 12)))


def test_the_plain_check_sees_each_fault():
    assert pk_faults([[0, 1, 2, 3], [4, 5, 6, 7]], TOY, 2, 2) == []
    assert pk_faults([[0, 1, 2, 3]], TOY, 2, 2) == [
        "2 identities still have images, enough for another batch"
    ]
    assert "an image of identity 5 comes twice" in pk_faults([[0, 1, 2, 3], [0, 5, 6, 7]], TOY, 2, 2)
    assert "batch 0 shows identity 5 3 times" in pk_faults([[0, 1, 4, 3], [5, 6]], TOY, 2, 2)
    assert "batch 0 shows 1 identities" in pk_faults([[0, 1]], TOY, 2, 2)
    many = pk_faults([[0, 1, 2, 3]] * 3, TOY, 2, 2)
    assert "identity 9 is in 3 batches, its images make 2" in many


def test_toy_epoch_shows_every_image_once_in_groups_of_one_identity():
    sampler = PKSampler(TOY, 2, 2, seed=0)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 2
    assert sorted(row for batch in batches for row in batch) == list(range(8))
    for batch in batches:
        a, b, c, d = (TOY[row] for row in batch)
        assert a == b
        assert c == d
        assert a != c


@pytest.mark.parametrize("num_ids", [1, 3, 12])
@pytest.mark.parametrize("num_instances", [1, 2, 4])
def test_every_epoch_obeys_the_rules_and_its_length(num_ids, num_instances):
    for seed in range(3):
        labels = uneven_labels(seed).tolist()
        sampler = PKSampler(labels, num_ids, num_instances, seed)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert len(sampler) == len(batches) > 0
            assert {len(batch) for batch in batches} == {num_ids * num_instances}
            assert pk_faults(batches, labels, num_ids, num_instances) == []


def test_an_identity_of_fewer_images_is_drawn_with_replacement():
    (batch,) = PKSampler([3, 4, 4, 4, 4], 2, 4, seed=0)
    assert sorted(batch) == [0, 0, 0, 0, 1, 2, 3, 4]


def test_what_remains_of_an_identity_changes_from_epoch_to_epoch():
    sampler = PKSampler([0] * 5, 1, 4, seed=0)
    left_out = set()
    for epoch in range(40):
        sampler.set_epoch(epoch)
        (batch,) = sampler
        left_out |= set(range(5)) - set(batch)
    assert left_out == set(range(5))


def test_batches_are_a_function_of_labels_seed_and_epoch():
    labels = uneven_labels(0)
    sampler = PKSampler(labels, 3, 2, seed=7)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    random.seed(9)
    np.random.seed(9)
    torch.manual_seed(9)
    assert list(sampler) == first
    assert second != first
    again = PKSampler(labels, 3, 2, seed=7)
    again.set_epoch(1)
    assert list(again) == second
    assert list(PKSampler(labels, 3, 2, seed=8)) != first


def test_rows_are_plain_numbers():
    assert {type(row) for batch in PKSampler(np.array(TOY), 2, 2, seed=0) for row in batch} == {int}


def test_names_of_the_labels_do_not_matter():
    labels = uneven_labels(1)
    assert list(PKSampler(labels, 3, 2, seed=0)) == list(PKSampler(labels * 10 + 1, 3, 2, seed=0))


@pytest.mark.parametrize(("labels", "shown"), [(TOY, 2), ([], 0), ([4] * 9, 1)])
def test_fewer_identities_than_a_batch_needs_are_refused(labels, shown):
    with pytest.raises(InputError, match=f"a batch needs 3 identities, the training images show {shown};"):
        PKSampler(labels, 3, 2, seed=0)


@pytest.mark.parametrize(("p", "k", "seed"), [(0, 2, 0), (2, 0, 0), (2, 2, -1)])
def test_a_batch_out_of_range_is_refused(p, k, seed):
    with pytest.raises(InputError, match=f"got {p}, {k} and seed {seed}"):
        PKSampler(TOY, p, k, seed)


@pytest.mark.parametrize(
    ("rows", "size", "lengths"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 5, [2]), (1, 1, [1])]
)
def test_shuffled_batches_show_every_row_once(rows, size, lengths):
    sampler = ShuffledSampler(rows, size, seed=0)
    batches = list(sampler)
    assert [len(batch) for batch in batches] == lengths
    assert len(sampler) == len(lengths)
    assert sorted(row for batch in batches for row in batch) == list(range(rows))


def test_shuffled_batches_are_a_function_of_seed_and_epoch():
    sampler = ShuffledSampler(50, 8, seed=3)
    first = list(sampler)
    assert first != [list(range(start, min(start + 8, 50))) for start in range(0, 50, 8)]
    assert list(sampler) == first
    sampler.set_epoch(1)
    second = list(sampler)
    assert second != first
    sampler.set_epoch(0)
    torch.manual_seed(1)
    assert list(sampler) == first
    assert list(ShuffledSampler(50, 8, seed=4)) != first


@pytest.mark.parametrize(("rows", "size", "seed"), [(0, 4, 0), (4, 0, 0), (4, 4, -1)])
def test_shuffled_batches_out_of_range_are_refused(rows, size, seed):
    with pytest.raises(InputError, match=f"got {rows}, {size} and seed {seed}"):
        ShuffledSampler(rows, size, seed)

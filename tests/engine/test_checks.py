from pathlib import Path

import numpy as np
import pytest

from reid.data.records import Records, ReIDDataset, Trial
from reid.engine.checks import check_batches, check_trials
from reid.utils import InputError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((8, 1, 1, False), "2 images or more in a batch, got SOLVER.IMS_PER_BATCH 1"),
        ((1, 4, 4, False), "2 identities or more, the training images show 1"),
        (
            (8, 4, 4, True),
            "IMS_PER_BATCH 4 and .*NUM_INSTANCE 4 give 1 with 4; .*TRIPLET_LOSS_WEIGHT 0",
        ),
        ((8, 4, 1, True), "give 4 with 1"),
    ],
)
def test_batches_that_teach_nothing_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        check_batches(*given)


@pytest.mark.parametrize("given", [(2, 4, 2, True), (2, 2, 1, False), (2, 4, 4, False)])
def test_the_smallest_batches_pass(given):
    check_batches(*given)


def dataset(rows, queries):
    """A data set whose first ``queries`` test images are the queries, the others the gallery."""
    test = Records.from_rows(Path(), [(f"{i}.jpg", pid, camid) for i, (pid, camid) in enumerate(rows)])
    trial = Trial(np.arange(queries), np.arange(queries, len(rows)))
    return ReIDDataset("few", "a few", "train", Records.empty(Path()), test, (trial,))


@pytest.mark.parametrize(
    ("rows", "queries"),
    [
        ([(1, 0), (2, 0), (1, 0), (2, 0)], 2),  # one camera
        ([(1, 0), (2, 1)], 1),  # nobody in common
        ([(-1, 0), (-1, 1)], 1),  # nobody is known
        ([(1, 0), (1, 1)], 2),  # no gallery
    ],
)
def test_test_images_without_a_match_are_refused(rows, queries):
    with pytest.raises(InputError, match="no query of a few has a gallery image of its identity"):
        check_trials(dataset(rows, queries))


@pytest.mark.parametrize("rows", [[(1, 0), (1, 1)], [(1, -1), (1, -1)], [(3, 0)] * 300 + [(1, 0), (1, 1)]])
def test_one_match_is_enough(rows):
    """Of a query far down the list too, and of one whose camera is unknown."""
    check_trials(dataset(rows, len(rows) - 1))

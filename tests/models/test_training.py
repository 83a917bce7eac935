"""The chain of trainings behind a model, in words."""

import pytest

from reid.models import Training, describe_training

A = Training("MSMT17 V1", "train+val", 32621, 1041, 15, "baseline", 120)
ON_ITSELF = Training("MSMT17 V1", "train+val", 32621, 1041, 15, "label_free", 2, before=A)
ON_B = Training("list", "train", 40, 0, 0, "label_free", 2, before=ON_ITSELF)
MORE = Training("list", "train", 40, 8, 2, "alternating", 2, before=ON_B)
ELSEWHERE = Training("mine", "train", 7, 3, 1, "baseline", 2, before=MORE)


@pytest.mark.parametrize(
    ("training", "title", "words"),
    [
        (None, "list", "trained on unknown data"),
        (A, "list", "trained on MSMT17 V1 train+val (32621 images)"),
        (A, "MSMT17 V1", "trained on its train+val split (32621 images)"),
        (ON_ITSELF, "MSMT17 V1", "trained on its train+val split (32621 images)"),
        (
            ON_B,
            "list",
            "trained on MSMT17 V1 train+val (32621 images), denoised on its train split (40 images)",
        ),
        (
            ELSEWHERE,
            "x",
            "trained on MSMT17 V1 train+val (32621 images), denoised on list train (40 images),"
            " trained on mine train (7 images)",
        ),
        (
            Training("list", "train", 40, 0, 0, "label_free", 2),
            "x",
            "trained on unknown data, denoised on list train (40 images)",
        ),
        (
            Training("list", "train", 40, 0, 0, "alternating", 2),
            "x",
            "trained and denoised on list train (40 images)",
        ),
    ],
)
def test_the_chain_is_told_from_its_beginning(training, title, words):
    assert describe_training(training, title) == words

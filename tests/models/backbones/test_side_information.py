import logging

import pytest
import torch

from reid.models.backbones.side_information import SideInformation
from reid.models.spec import SideSpec
from reid.utils import InputError

IMAGES = torch.zeros(3, 3, 2, 2)


def make(spec, rows):
    side = SideInformation(spec, 1)
    side.embed.data = torch.tensor(rows)[:, None]
    return side


@torch.no_grad()
def numbers(side, camids=None, viewids=None):
    given = [None if ids is None else torch.tensor(ids) for ids in (camids, viewids)]
    return side(IMAGES, *given).flatten().tolist()


def test_a_camera_has_its_row_and_an_unknown_one_the_mean():
    side = make(SideSpec((4, 7), coef=2.0), [1.0, 5.0])
    assert numbers(side, [7, 4, -1]) == [10, 2, 6]
    assert numbers(side, [5, 0, 7], [0, 1, 2]) == [6, 6, 10]
    assert numbers(side) == [6, 6, 6]


def test_a_view_alone_has_its_row():
    side = make(SideSpec((), (0, 2), coef=1.0), [1.0, 3.0])
    assert numbers(side, [4, 4, 4], [2, 0, 1]) == [3, 1, 2]


def test_of_a_pair_the_camera_counts_first_and_what_is_unknown_is_averaged_over():
    side = make(SideSpec((1, 2), (0, 1), coef=1.0), [0.0, 2.0, 10.0, 14.0])
    assert numbers(side, [1, 1, 2], [0, 1, 0]) == [0, 2, 10]
    assert numbers(side, [1, 2, 9], [-1, 5, -1]) == [1, 12, 6.5]
    assert numbers(side, [9, 9, 2], [0, 1, 1]) == [5, 8, 14]
    assert numbers(side, None, [0, 1, -1]) == [5, 8, 6.5]
    assert numbers(side, [1, 2, -1]) == [1, 12, 6.5]


def test_what_is_not_given_is_told_once(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    side = make(SideSpec((1, 2), (0, 1)), [0.0] * 4)
    numbers(side, [1, 1, 1], [0, 0, 0])
    assert caplog.text == ""
    for _ in range(2):
        numbers(side)
    assert caplog.text.count("no cameras and views are given: the mean") == 1


def test_only_the_table_is_a_weight():
    assert list(make(SideSpec((1, 2)), [0.0, 1.0]).state_dict()) == ["embed"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "cameras or views, got neither"),
        ({"cameras": (1, 1)}, r"cameras must be different numbers of 0 or more, got \(1, 1\)"),
        ({"views": (-1, 0)}, "views must be different"),
        ({"cameras": (1, 2), "coef": -1.0}, r"coef must be in 0\.\.1000, got -1"),
    ],
)
def test_a_table_of_nothing_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        SideSpec(**arguments)


@pytest.mark.parametrize(
    "camids", [torch.tensor([1]), torch.tensor([1, 2, 1, 2]), torch.tensor([1.0, 2.0, 1.0]), torch.tensor(1)]
)
def test_cameras_that_would_be_spread_or_rounded_are_refused(camids):
    side = make(SideSpec((1, 2)), [0.0, 1.0])
    with pytest.raises(InputError, match="camids must be 3 whole numbers, one an image"):
        side(IMAGES, camids, None)

"""The flat state dict inside what a file holds, and the identities that it was trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peers import prefixed

from reid.models.read import count_classes, state_dict_in
from reid.utils import InputError

PLAIN = {"a.weight": torch.ones(2), "b": torch.ones(1)}


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        prefixed(PLAIN, "module."),
        {"model": PLAIN, "optimizer": {"state": {}}, "epoch": 3},
        {"state_dict": prefixed(PLAIN, "module."), "arch": "vit"},
        {"student": {"c": torch.ones(1)}, "teacher": PLAIN},
        {"state_dict": {"model": {"teacher": PLAIN}}},
        {"model": {"state_dict": PLAIN}},
        {"teacher": {"model": {"state_dict": prefixed(PLAIN, "module.")}}},
        PLAIN | {"epoch": 3, "note": "text", "args": [1]},
        PLAIN | {"a.count": 3, "a.share": 0.5, "a.note": "b", "a.none": None, "a.more": {}, "a.yes": True},
    ],
)
def test_every_wrapping_of_the_field_is_taken_off(content):
    assert list(state_dict_in(content, Path("x.pth"))) == list(PLAIN)


def test_numbers_as_keys_are_names():
    assert list(state_dict_in({7: torch.ones(1)}, Path("x.pth"))) == ["7"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({}, "got a dictionary without tensors"),
        ({"model": {}}, "got a dictionary without tensors"),
        ({"epoch": 3}, r"got a dictionary without tensors but with \['epoch'\]; save its state dict alone"),
        ({"net": PLAIN, "a": 1}, r"got a dictionary without tensors but with \['net', 'a'\]; save its"),
        ([torch.ones(2)], "got list"),
        (torch.ones(2), "got Tensor"),
        (None, "got NoneType"),
    ],
)
def test_what_holds_no_state_dict_is_refused_with_what_it_holds(content, match):
    with pytest.raises(InputError, match=f"x.pth must hold a state dict, {match}"):
        state_dict_in(content, Path("x.pth"))


def test_a_dictionary_that_holds_itself_is_refused():
    content = {}
    content["model"] = content
    with pytest.raises(InputError, match="got a dictionary without tensors"):
        state_dict_in(content, Path("x.pth"))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"module.a": torch.ones(1), "a": torch.zeros(1)}, "'a'"),
        ({5: torch.ones(1), "5": torch.zeros(1)}, "'5'"),
    ],
)
def test_a_name_that_comes_twice_is_refused(content, name):
    with pytest.raises(InputError, match=f"x.pth must hold every name once, {name} comes twice"):
        state_dict_in(content, Path("x.pth"))


@pytest.mark.parametrize(
    ("value", "kind"), [([[0.5]], "list"), (b"\0", "bytes"), (np.ones(2), "ndarray"), ((), "tuple")]
)
def test_a_parameter_that_is_no_tensor_is_refused_and_named(value, kind):
    with pytest.raises(InputError, match=f"x.pth: 'base.sie_embed' must be a tensor, got {kind}; save it"):
        state_dict_in(PLAIN | {"module.base.sie_embed": value}, Path("x.pth"))


@pytest.mark.parametrize(
    ("tensors", "count"),
    [
        ({"classifier.weight": torch.ones(7, 2)}, 7),
        ({"classifier.weight": torch.tensor(7.0)}, 0),
        ({"a": torch.ones(1)}, 0),
    ],
)
def test_classes_are_counted_by_the_classifier(tensors, count):
    assert count_classes(tensors) == count

"""Names that differ in numbers, by hand."""

import pytest

from reid.denoise.names import group_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["norm"], ["norm"]),
        (["blocks.0.fc1", "blocks.1.fc1", "blocks.2.fc1"], ["blocks.{0-2}.fc1"]),
        (["blocks.3.fc1", "blocks.0.fc1"], ["blocks.{0,3}.fc1"]),
        (["layer1.0.conv1", "layer1.1.conv1"], ["layer1.{0-1}.conv1"]),
        (["a.0.b.1", "a.1.b.0"], ["a.*.b.* (2)"]),
        (["a.0.b.1", "a.2.b.1"], ["a.{0,2}.b.1"]),
        (["a.0.b.1.c", "a.0.b.2.c", "a.1.b.1.c"], ["a.*.b.*.c (3)"]),
        (["a.0.b.7.c.1", "a.1.b.7.c.2"], ["a.*.b.7.c.* (2)"]),
        (["0.weight", "1.weight"], ["{0-1}.weight"]),
        (["fc.0", "fc.1"], ["fc.{0-1}"]),
        (["fc.9", "fc.10"], ["fc.{9-10}"]),  # numbers, not letters
    ],
)
def test_names_that_differ_in_numbers_alone_are_written_once(names, expected):
    assert group_names(names) == expected


def test_groups_stand_in_the_order_of_their_first_name():
    names = ["blocks.0.fc1", "norm", "blocks.0.fc2", "blocks.1.fc1", "head", "blocks.1.fc2"]
    assert group_names(names) == ["blocks.{0-1}.fc1", "norm", "blocks.{0-1}.fc2", "head"]


def test_digits_within_a_word_are_part_of_the_word():
    assert group_names(["fc1.weight", "fc2.weight"]) == ["fc1.weight", "fc2.weight"]


@pytest.mark.parametrize("name", ["a{b}.0", "a{}.0", "{0}.1", "a}.2", "a.01", "a.²", f"a.{'9' * 5000}"])
def test_what_is_no_plain_number_is_kept(name):
    assert group_names([name]) == [name]


def test_a_name_that_comes_twice_is_written_once():
    assert group_names(["a.0", "a.0"]) == ["a.0"]

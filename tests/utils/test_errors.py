"""The wording of an unknown choice."""

import pytest

from reid.utils import InputError, unknown_choice


def test_the_nearest_name_comes_first_and_all_are_listed_in_order():
    assert unknown_choice("data set", "markt1501", ["msmt17", "market1501"]) == (
        "unknown data set 'markt1501': did you mean 'market1501'? choose one of market1501, msmt17"
    )


@pytest.mark.parametrize("given", ["", "zzz"])
def test_a_name_like_none_has_no_suggestion(given):
    assert unknown_choice("mode", given, iter(["b", "a"])) == f"unknown mode '{given}': choose one of a, b"


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)

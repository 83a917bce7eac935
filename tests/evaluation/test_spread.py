"""Values over several seeds."""

import pytest

from reid.evaluation import moments, spread_cell


def test_a_sample_by_hand():
    assert moments([1.0, 2.0, 6.0]) == {"mean": 3.0, "std": pytest.approx(7**0.5)}
    assert spread_cell([1.0, 2.0, 6.0]) == "3.00 ± 2.65"


def test_one_value_has_no_spread_and_zero_no_sign():
    assert spread_cell([7.004]) == "7.00"
    assert spread_cell([-0.004], "+.2f") == "+0.00"
    assert spread_cell([-0.02, 0.0], "+.2f") == "-0.01 ± 0.01"

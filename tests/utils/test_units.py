"""Times and sizes as people read them, rounded once."""

import pytest

from reid.utils.units import size_in_words, time_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (7.42, "7.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (119.6, "2 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86369, "23 h 59 min"),
        (86371, "1 d 00 h"),
        (100_000, "1 d 04 h"),
    ],
)
def test_a_time_has_its_two_largest_units(seconds, words):
    assert time_in_words(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),
        (61 * 10**9, "61.0 GB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_a_size_is_in_units_of_a_thousand(count, words):
    assert size_in_words(count) == words

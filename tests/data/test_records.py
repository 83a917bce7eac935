from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reid.data import UNKNOWN, Records

ROOT = Path("root")
ROWS = [("a/1.jpg", 7, 0), ("a/2.jpg", UNKNOWN, 1), ("b/3.jpg", 7, UNKNOWN), ("b/4.jpg", 0, 1)]


VIEWED = [("a/1.jpg", 7, 0, 5), ("a/2.jpg", 7, 1, UNKNOWN), ("b/3.jpg", 8, 0, 0), ("b/4.jpg", 8, 0, 5)]


def rows_of(records):
    return list(zip(records.paths.tolist(), records.pids.tolist(), records.camids.tolist(), strict=True))


def test_rows_become_columns_and_back():
    records = Records.from_rows(ROOT, ROWS)
    assert rows_of(records) == ROWS
    assert len(records) == 4
    assert (records.pids.dtype, records.camids.dtype, records.paths.dtype.kind) == (np.int64, np.int64, "U")


def test_views_are_unknown_where_they_are_left_out():
    made = Records(ROOT, np.array(["a", "b"]), np.array([1, 2]), np.array([0, 1]))
    for records in (made, Records.from_rows(ROOT, ROWS), Records.empty(ROOT)):
        assert records.viewids.tolist() == [UNKNOWN] * len(records)
        assert (records.viewids.dtype, records.num_viewids) == (np.int64, 0)


def test_views_stay_with_their_rows():
    records = Records.from_rows(ROOT, VIEWED)
    assert rows_of(records) == [row[:3] for row in VIEWED]
    assert (records.viewids.tolist(), records.viewids.dtype) == ([5, UNKNOWN, 0, 5], np.int64)
    assert records.num_viewids == 2
    assert records.select(np.array([2, 0])).viewids.tolist() == [0, 5]
    assert records.select(np.array([False, True, True, False])).viewids.tolist() == [UNKNOWN, 0]
    assert Records.from_rows(ROOT, ROWS[:2]).append(records).viewids.tolist() == [-1, -1, 5, UNKNOWN, 0, 5]
    assert replace(records, pids=np.arange(4)).viewids.tolist() == [5, UNKNOWN, 0, 5]


def test_rows_with_and_without_views_are_not_mixed():
    with pytest.raises(ValueError, match="argument 2 is longer than argument 1"):
        Records.from_rows(ROOT, [ROWS[0], VIEWED[0]])


def test_a_path_is_below_the_root():
    assert Records.from_rows(ROOT, ROWS).path(2) == Path("root/b/3.jpg")


def test_unknown_identities_and_cameras_do_not_count():
    records = Records.from_rows(ROOT, ROWS)
    assert (records.num_pids, records.num_camids) == (2, 2)


def test_no_images_at_all():
    empty = Records.empty(ROOT)
    assert (len(empty), empty.num_pids, empty.num_camids) == (0, 0, 0)
    assert empty.paths.dtype.kind == "U"
    assert rows_of(empty.append(Records.from_rows(ROOT, ROWS))) == ROWS


def test_rows_are_selected_in_the_order_asked_for():
    records = Records.from_rows(ROOT, ROWS)
    assert rows_of(records.select(np.array([3, 0]))) == [ROWS[3], ROWS[0]]
    assert rows_of(records.select(np.array([True, False, False, True]))) == [ROWS[0], ROWS[3]]


def test_appended_rows_come_last_and_long_paths_are_not_cut():
    long = [("c/" + "x" * 50 + ".jpg", 1, 2)]
    both = Records.from_rows(ROOT, ROWS).append(Records.from_rows(ROOT, long))
    assert rows_of(both) == ROWS + long


def test_records_under_another_root_are_not_appended():
    with pytest.raises(ValueError, match="share a root, got root and other"):
        Records.from_rows(ROOT, ROWS).append(Records.from_rows(Path("other"), ROWS))


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"columns must have one length, got \[1, 2\]"):
        Records(ROOT, np.array(["a", "b"]), np.array([1]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"columns must have one length, got \[1, 2\]"):
        Records(ROOT, np.array(["a", "b"]), np.array([1, 1]), np.array([0, 1]), np.array([3]))

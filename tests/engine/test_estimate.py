"""Times, sizes and words of an estimate, by hand."""

import json
from dataclasses import replace

import pytest

from reid.engine.estimate import BatchTime, Cost, Disk, Estimate

ALONE = BatchTime(read=1.0, work=2.0)


@pytest.mark.parametrize(
    ("time", "pace", "seconds"),
    [
        (ALONE, 3.0, 30.0),  # one after the other
        (BatchTime(1.0, 2.0, workers=1), 2.0, 22.0),  # 10 batches of 2 s; 2 passes wait 1 s
        (BatchTime(8.0, 2.0, workers=2), 4.0, 56.0),  # two workers give a batch each 4 s; 2 passes wait 8 s
        (BatchTime(8.0, 2.0, workers=4), 2.0, 36.0),
    ],
)
def test_the_slower_of_reading_and_working_sets_the_pace(time, pace, seconds):
    assert time.pace == pace
    assert time.seconds(batches=10, passes=2) == seconds


def test_a_cost_is_that_of_all_its_epochs():
    cost = Cost("baseline", "baseline", (15, 16, 15), ALONE)
    assert cost.seconds == 46 * 3
    assert cost.row() == ["baseline", "baseline", "3", "15 to 16", "1.000", "2.000", "3.000", "2 min 18 s"]
    found = cost.as_dict("phase", "epochs")
    assert (found["phase"], found["epochs"], found["batches"], found["seconds"]) == ("baseline", 3, 46, 138)
    assert replace(cost, passes=(15, 15)).row()[2:4] == ["2", "15"]


ESTIMATE = Estimate(
    phases=[Cost("baseline", "baseline", (10, 10), ALONE), Cost("joint", "joint", (10,), ALONE)],
    evaluations=[Cost("baseline", "market1501", (4,), ALONE)],
    timed=3,
    processes=1,
    device="cpu",
    memory=2 * 10**9,
    disk=Disk(kept=10**6, most=3 * 10**6, free=4 * 10**6),
    fused_difference=None,
    folder="runs/x",
)


def test_times_add_up():
    assert ESTIMATE.seconds == 60 + 30 + 12
    found = json.loads(json.dumps(ESTIMATE.as_dict(), allow_nan=False))
    assert found["seconds"] == sum(row["seconds"] for row in found["phases"] + found["evaluations"])
    text = ESTIMATE.as_text()
    assert "time: 1 min 42 s in all, an estimate from 3 timed steps of each phase" in text
    assert "ranking" in text


def test_a_disk_that_is_too_small_is_the_last_word():
    assert ESTIMATE.is_well
    assert "checkpoints of 1.0 MB stay, 3.0 MB at most while it runs; 4.0 MB are free for runs/x" in (
        ESTIMATE.as_text()
    )
    assert ESTIMATE.as_text().endswith("nothing was written to runs/x; the run can start")
    full = replace(ESTIMATE, disk=Disk(10**6, 3 * 10**6, 2_999_000))
    assert not full.is_well
    assert full.as_text().endswith("warning: the disk lacks 1.0 kB; free it, or name another OUTPUT_DIR")
    assert full.as_dict()["disk"]["fits"] is False
    assert Disk(1, 3, 3).fits


def test_without_test_images_there_is_no_second_table():
    text = replace(ESTIMATE, evaluations=[]).as_text()
    assert "evaluated on" not in text
    assert "no test images" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "memory: 2.0 GB resident at most so far\n"),
        ({"processes": 4}, "memory: 2.0 GB resident at most so far in each of 4 processes\n"),
        (
            {"evaluations": [Cost("baseline", "a", (1,), BatchTime(1, 1, workers=2))]},
            "memory: 2.0 GB resident at most so far; 2 processes that read images come on top\n",
        ),
        ({"device": "cuda"}, "memory: 2.0 GB of a GPU at most, by torch's count of tensors\n"),
    ],
)
def test_memory_says_what_it_counts(change, words):
    assert words in replace(ESTIMATE, **change).as_text()


def test_fusing_is_told_where_it_was_tried():
    assert "fusing" not in ESTIMATE.as_text()
    assert "features 3.0e-07" in replace(ESTIMATE, fused_difference=3e-7).as_text()

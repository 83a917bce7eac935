"""Speed, GPU memory and the time that is left."""

import pytest
import torch

from reid.engine.pace import EVALUATION, Pace, TimeLeft, bar_words


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr("reid.engine.pace.time.perf_counter", lambda: now[0])
    return now


def test_speed_is_images_by_seconds_since_the_start(clock):
    pace = Pace(torch.device("cpu"))
    clock[0] += 4
    assert pace.figures(10) == {"images_per_s": 2.5, "seconds": 4}


def test_a_gpu_tells_the_peak_of_the_epoch(clock, monkeypatch):
    device, calls = torch.device("cuda", 1), []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", calls.append)
    monkeypatch.setattr(
        torch.cuda, "max_memory_allocated", lambda asked: calls.append(asked) or 12_345_678_901
    )
    pace = Pace(device)
    assert calls == [device]  # the peak of the epoch before does not count
    clock[0] += 1
    assert pace.figures(8)["gpu_memory_mb"] == 12_346
    assert calls == [device, device]


# Two epochs of a, two of b, one of c; evaluations behind the second, the fourth and the fifth.
RUN = (["a", "a", "b", "b", "c"], [2, 4, 5])


def left_of(epoch, *seen):
    left = TimeLeft(*RUN)
    for kind, seconds in seen:
        left.add(kind, seconds)
    return left.after(epoch)


def test_an_epoch_of_an_unseen_phase_costs_what_the_seen_ones_do():
    assert left_of(1, ("a", 10)) == 4 * 10


def test_phases_cost_what_their_own_epochs_do():
    assert left_of(3, ("a", 10), ("a", 10), ("b", 30)) == 30 + 10  # b, and c as the median of all


def test_evaluations_count_once_one_was_seen():
    """Behind an epoch its own evaluation is still to come."""
    seen = [("a", 10), ("a", 10)]
    assert left_of(2, *seen) == 3 * 10
    assert left_of(3, *seen, (EVALUATION, 7), ("b", 10)) == 2 * 10 + 2 * 7
    assert left_of(4, *seen, (EVALUATION, 7), ("b", 10), ("b", 10)) == 10 + 2 * 7
    assert left_of(5, *seen, (EVALUATION, 7), (EVALUATION, 9)) == 8


def test_epochs_that_are_passed_over_take_no_time():
    left = TimeLeft(["a", "", "", "b"], [])
    left.add("a", 10)
    assert left.after(1) == 10


def test_an_epoch_in_which_the_machine_slept_counts_for_nothing():
    assert left_of(2, ("a", 10), ("a", 10_000), ("a", 10)) == 30


def test_a_run_in_its_last_epoch_has_no_epoch_left():
    assert left_of(5, ("c", 10)) == 0


def test_the_bar_shows_losses_rate_speed_and_memory():
    speed = {"images_per_s": 98.76, "seconds": 3}
    words = bar_words({"loss": 1.23456, "id": 1.0}, 3.5e-4, speed)
    assert words == {"loss": "1.235", "id": "1.000", "lr": "3.50e-04", "images/s": "98.8"}
    assert bar_words({}, 0.1, speed | {"gpu_memory_mb": 12_346})["GPU"] == "12.3 GB"

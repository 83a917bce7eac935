import pytest
import torch

from reid.engine.lr_schedule import Cosine, MultiStep, set_learning_rate


def rates(schedule, peak, epochs):
    return [schedule.rate(peak, epoch, epochs) for epoch in range(1, epochs + 1)]


def test_warm_up_rises_linearly_from_one_percent():
    schedule = Cosine(1.0, warmup=20)
    assert [schedule.rate(1.0, e, 120) for e in (1, 10, 19)] == pytest.approx([0.0595, 0.505, 0.9505])


def test_a_group_of_twice_the_rate_starts_at_the_same_one_percent_and_rises_to_its_own_peak():
    """0.01 + (2 - 0.01) e / 20."""
    schedule = Cosine(1.0, warmup=20)
    assert [schedule.rate(2.0, e, 120) for e in (1, 10)] == pytest.approx([0.1095, 1.005])


def test_the_cosine_counts_from_the_first_epoch_and_steps_down_where_the_warm_up_ends():
    """cos(pi 40 / 120) = 0.5, cos(pi 60 / 120) = 0."""
    schedule = Cosine(1.0, warmup=40)
    assert [schedule.rate(1.0, e, 120) for e in (39, 40, 60)] == pytest.approx([0.97525, 0.7505, 0.501])


def test_all_groups_end_at_one_minimum():
    assert [Cosine(1.0).rate(peak, 120, 120) for peak in (1.0, 2.0, 4.0)] == pytest.approx([0.002] * 3)


def test_stepped_at_the_end_the_first_epoch_runs_at_the_start_of_the_warm_up():
    """Of four epochs: 0.01, then 0.01 + 0.99 / 2, then the cosine's third and fourth values, one late."""
    at_start = [0.505, 0.501, 0.002 + 0.998 * (1 - 0.5**0.5) / 2, 0.002]
    assert rates(Cosine(1.0, 2), 1.0, 4) == pytest.approx(at_start)
    assert rates(Cosine(1.0, 2, stepped_at_end=True), 1.0, 4) == pytest.approx([0.01, *at_start[:3]])


def test_stepped_at_the_end_without_warm_up_the_first_epoch_runs_at_the_peak():
    assert Cosine(1.0, stepped_at_end=True).rate(2.0, 1, 10) == 2.0


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("warmup", [0, 1, 20])
def test_a_single_epoch_runs_at_the_peak(warmup, late):
    assert Cosine(1.0, warmup, late).rate(3.0, 1, 1) == 3.0


@pytest.mark.parametrize("schedule", [Cosine(1.0, 3), MultiStep((2,), warmup=3)])
def test_a_peak_of_zero_stays_zero(schedule):
    assert rates(schedule, 0.0, 6) == [0.0] * 6


def test_each_milestone_multiplies_by_gamma_from_its_epoch_on():
    schedule = MultiStep((3, 5), gamma=0.1)
    assert rates(schedule, 2.0, 6) == pytest.approx([2, 2, 0.2, 0.2, 0.02, 0.02])


def test_stepped_at_the_end_the_rate_falls_an_epoch_later():
    schedule = MultiStep((3, 5), gamma=0.1, stepped_at_end=True)
    assert rates(schedule, 2.0, 6) == pytest.approx([2, 2, 2, 0.2, 0.2, 0.02])


def test_steps_warm_up_from_a_share_of_the_own_peak():
    """0.1 + 0.9 t / 4."""
    assert rates(MultiStep((), warmup=4), 2.0, 5) == pytest.approx([0.65, 1.1, 1.55, 2, 2])
    late = MultiStep((), warmup=4, warmup_factor=0.5, stepped_at_end=True)
    assert rates(late, 2.0, 6) == pytest.approx([1, 1.25, 1.5, 1.75, 2, 2])


def test_a_milestone_within_the_warm_up_lowers_it():
    schedule = MultiStep((2,), gamma=0.5, warmup=4, warmup_factor=0.0)
    assert rates(schedule, 1.0, 4) == pytest.approx([0.25, 0.25, 0.375, 0.5])


def test_each_group_has_the_rate_of_its_own_peak():
    layer = torch.nn.Linear(2, 2)
    groups = [{"params": [layer.weight], "peak_lr": 1.0}, {"params": [layer.bias], "peak_lr": 2.0}]
    optimizer = torch.optim.SGD(groups, lr=9.0)
    set_learning_rate(optimizer, Cosine(1.0, warmup=2), 1, 4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.505, 1.005])


@pytest.mark.parametrize("schedule", [Cosine(1.0), MultiStep(())])
@pytest.mark.parametrize("epoch", [0, 11])
def test_epochs_outside_are_refused(schedule, epoch):
    with pytest.raises(ValueError, match=rf"epoch must be in 1\.\.10, got {epoch}"):
        schedule.rate(1.0, epoch, 10)

import pytest
import torch

from reid.engine.lr_schedule import set_learning_rate, warmup_cosine


def test_warm_up_rises_linearly_from_one_percent():
    assert [warmup_cosine(e, 120, 20) for e in (1, 10, 19)] == pytest.approx(
        [0.01 + 0.99 / 20, 0.505, 0.01 + 0.99 * 0.95]
    )


def test_the_cosine_counts_from_the_first_epoch_and_ends_at_the_floor():
    assert warmup_cosine(60, 120, 20) == pytest.approx(0.002 + 0.998 / 2)
    assert warmup_cosine(120, 120, 20) == pytest.approx(0.002)


def test_without_warm_up_the_first_epoch_is_almost_the_peak():
    assert 0.99 < warmup_cosine(1, 120, 0) < 1


@pytest.mark.parametrize("warmup", [0, 1, 20])
def test_a_single_epoch_runs_at_the_peak(warmup):
    assert warmup_cosine(1, 1, warmup) == 1


def test_each_group_scales_with_its_own_peak():
    layer = torch.nn.Linear(2, 2)
    groups = [{"params": [layer.weight], "peak_lr": 1.0}, {"params": [layer.bias], "peak_lr": 2.0}]
    optimizer = torch.optim.SGD(groups, lr=9.0)
    set_learning_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1.0]


@pytest.mark.parametrize("epoch", [0, 11])
def test_epochs_outside_are_refused(epoch):
    with pytest.raises(ValueError, match=r"epoch must be in 1\.\.10"):
        warmup_cosine(epoch, 10, 0)

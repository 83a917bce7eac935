import copy

import pytest
import torch
from torch import nn

from reid.denoise import attach_denoisers, collect_denoise_loss, denoiser_parameters
from reid.engine.phases import BACKBONE, BASELINE, DENOISERS, IDLE, LABEL_FREE, Freezer, plan_stages


def names(stages):
    return [(stage.name, [phase.name for phase in stage.phases]) for stage in stages]


def test_baseline_alone():
    assert names(plan_stages(2, "none", 5, 10)) == [("baseline", ["baseline"] * 2)]


def test_the_closed_form_takes_one_epoch_and_only_without_labels():
    stages = plan_stages(1, "label_free", 60, 10, closed_form=True)
    assert names(stages) == [("baseline", ["baseline"]), ("label_free", ["closed_form"])]
    phase = stages[1].phases[0]
    assert (phase.trains_backbone, phase.trains_denoisers, phase.uses_labels) == (False, True, False)
    assert stages[1].without_training_denoisers(denoises=True).phases == (IDLE,)
    for mode in ("none", "alternating", "joint"):
        assert plan_stages(1, mode, 4, 1, closed_form=True) == plan_stages(1, mode, 4, 1)


def test_label_free_follows_the_baseline():
    assert names(plan_stages(1, "label_free", 2, 10)) == [
        ("baseline", ["baseline"]),
        ("label_free", ["label_free"] * 2),
    ]


def test_alternating_takes_turns_denoisers_first():
    assert names(plan_stages(0, "alternating", 5, 2)) == [
        ("alternating", ["denoisers", "denoisers", "backbone", "backbone", "denoisers"])
    ]


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="none, label_free, alternating or joint, got 'both'"):
        plan_stages(1, "both", 1, 1)


def test_joint_training_trains_everything_in_every_epoch():
    (stage,) = plan_stages(0, "joint", 2, 1)
    assert [phase.name for phase in stage.phases] == ["joint", "joint"]
    assert all(p.trains_backbone and p.trains_denoisers and p.uses_labels for p in stage.phases)


def test_either_phase_may_begin():
    (stage,) = plan_stages(0, "alternating", 5, 2, first="backbone")
    names = [phase.name for phase in stage.phases]
    assert names == ["backbone", "backbone", "denoisers", "denoisers", "backbone"]


def make():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4, 2)
    )
    model[4].bias.requires_grad_(False)
    return attach_denoisers(model, "all")


@pytest.mark.parametrize("phase", [LABEL_FREE, DENOISERS])
def test_a_frozen_backbone_does_not_change_by_a_bit(phase):
    """Weight decay, momentum built up before, and BatchNorm statistics included."""
    model = make()
    freezer = Freezer(model)
    backbone = torch.optim.SGD([p for _, p in freezer.backbone], lr=0.1, momentum=0.9, weight_decay=0.1)
    denoisers = torch.optim.AdamW([p for _, p in freezer.denoisers], lr=0.1)
    images = torch.randn(4, 3, 3, 3)
    freezer.enter(BACKBONE)
    model(images).square().sum().backward()
    backbone.step()
    freezer.enter(phase)
    own = {id(p) for p in denoiser_parameters(model)}
    before = copy.deepcopy(model.state_dict())
    for _ in range(3):
        with collect_denoise_loss(model, "l2") as losses:
            model(images)
        denoisers.zero_grad()
        losses.total.backward()
        denoisers.step()
    denoiser_keys = {name for name, p in model.named_parameters() if id(p) in own}
    for key, value in model.state_dict().items():
        assert torch.equal(before[key], value) == (key not in denoiser_keys), key


def test_frozen_denoisers_do_not_change_by_a_bit():
    model = make()
    freezer = Freezer(model)
    optimizer = torch.optim.SGD([p for _, p in freezer.backbone], lr=0.1, weight_decay=0.1)
    freezer.enter(BACKBONE)
    before = [p.clone() for p in denoiser_parameters(model)]
    running_mean = model[1].running_mean.clone()
    model(torch.randn(4, 3, 3, 3)).square().sum().backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, denoiser_parameters(model), strict=True))
    assert not torch.equal(running_mean, model[1].running_mean)


@pytest.mark.parametrize("phase", [BASELINE, LABEL_FREE, DENOISERS, BACKBONE])
def test_what_was_frozen_from_the_start_stays_frozen(phase):
    model = make()
    Freezer(model).enter(phase)
    assert not model[4].bias.requires_grad


def test_a_frozen_backbone_is_in_eval_mode():
    model = make()
    freezer = Freezer(model)
    freezer.enter(BACKBONE)
    assert model.training
    freezer.enter(DENOISERS)
    assert not any(module.training for module in model.modules())

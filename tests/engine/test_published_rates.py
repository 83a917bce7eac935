"""Every epoch's learning rate of every parameter group beside the published rules, written out plainly."""

import math
from pathlib import Path

import pytest
import torch
from timm.scheduler import CosineLRScheduler

from reid.config import load_config
from reid.engine.build import build_trainer_specs
from reid.engine.lr_schedule import set_learning_rate
from reid.engine.optimizer import create_optimizer

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
# A parameter of each kind that a rule could tell apart.
WEIGHTS = ("cls_token", "pos_embed", "norm.weight", "mlp.fc1.weight", "classifier.weight")
BIASES = ("norm.bias", "mlp.fc1.bias")


def our_rates(spec, of, epochs):
    """By a parameter's name, the rates of all epochs."""
    optimizer_spec = spec.backbone if of == "backbone" else spec.denoisers
    parameters = {name: torch.nn.Parameter(torch.zeros(1)) for name in (*WEIGHTS, *BIASES)}
    optimizer = create_optimizer(optimizer_spec, parameters.items())
    names = {id(parameter): name for name, parameter in parameters.items()}
    rates = {name: [] for name in parameters}
    for epoch in range(1, epochs + 1):
        set_learning_rate(optimizer, spec.schedule, epoch, epochs)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rates[names[id(parameter)]].append(group["lr"])
    return rates


def cosine_rates(base, peak, warmup, epochs, at_end):
    """The family of TransReID: a scheduler that is made, then stepped before or after each epoch."""
    lowest, start = 0.002 * base, 0.01 * base

    def step(epoch):
        if epoch < warmup:
            return start + epoch * ((peak - start) / warmup)
        if epoch < epochs:
            return lowest + 0.5 * (peak - lowest) * (1 + math.cos(math.pi * epoch / epochs))
        return lowest

    rate = start if warmup else peak
    rates = []
    for epoch in range(1, epochs + 1):
        rate = rate if at_end else step(epoch)
        rates.append(rate)
        rate = step(epoch) if at_end else rate
    return rates


def step_rates(peak, milestones, warmup, factor, epochs, at_end):
    """WarmupMultiStepLR of the strong baseline and its descendants."""
    rates, steps = [], 0
    for _ in range(epochs):
        if not at_end:
            steps += 1
        rate = peak
        for milestone in milestones:
            if steps >= milestone:
                rate = rate * 0.1
        if steps < warmup:
            share = steps / warmup
            rate = rate * (factor * (1 - share) + share)
        rates.append(rate)
        if at_end:
            steps += 1
    return rates


def compare(rates, weights, biases):
    for names, expected in ((WEIGHTS, weights), (BIASES, biases)):
        for name in names:
            assert rates[name] == pytest.approx(expected, rel=1e-12), name


def specs_of(recipe, *words):
    return build_trainer_specs(load_config(CONFIGS / f"{recipe}.yml", words))


# Recipe: base rate, warm-up, whether it is stepped at an epoch's end. All have 120 epochs and biases of 2x.
COSINES = {
    "vit_base_market": (8e-3, 5, False),
    "transreid_msmt": (8e-3, 5, False),
    "vit_small_market": (4e-4, 20, True),
    "vit_small_msmt": (4e-4, 20, True),
}


@pytest.mark.parametrize("recipe", COSINES)
def test_every_epoch_of_the_transformers_recipes_has_the_published_rate(recipe):
    base, warmup, at_end = COSINES[recipe]
    weights, biases = (cosine_rates(base, peak, warmup, 120, at_end) for peak in (base, 2 * base))
    compare(our_rates(specs_of(recipe)["baseline"], "backbone", 120), weights, biases)


@pytest.mark.parametrize("recipe", COSINES)
def test_timms_scheduler_which_the_publishers_changed_gives_the_same(recipe):
    base, warmup, at_end = COSINES[recipe]
    weight, bias = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    theirs = torch.optim.SGD([{"params": [weight], "lr": base}, {"params": [bias], "lr": 2 * base}])
    scheduler = CosineLRScheduler(
        theirs, 120, lr_min=0.002 * base, warmup_t=warmup, warmup_lr_init=0.01 * base
    )
    rates = []
    for epoch in range(1, 121):
        if not at_end:
            scheduler.step(epoch)
        rates.append([group["lr"] for group in theirs.param_groups])
        if at_end:
            scheduler.step(epoch)
    compare(our_rates(specs_of(recipe)["baseline"], "backbone", 120), *zip(*rates, strict=True))


def test_spot_values_of_transreids_vit_base_by_hand():
    rates = our_rates(specs_of("vit_base_market")["baseline"], "backbone", 120)
    weights, biases = rates["norm.weight"], rates["norm.bias"]
    # A fifth of the way from 8e-5 to 8e-3 and to 1.6e-2.
    assert (weights[0], biases[0]) == pytest.approx((1.664e-3, 3.264e-3))
    # Halfway the cosine is 0: the mean of the peak and 1.6e-5.
    assert (weights[59], biases[59]) == pytest.approx((4.008e-3, 8.008e-3))
    assert (weights[119], biases[119]) == pytest.approx((1.6e-5, 1.6e-5))


def test_spot_values_of_transreid_ssls_vit_small_by_hand():
    rates = our_rates(specs_of("vit_small_msmt")["baseline"], "backbone", 120)
    weights, biases = rates["norm.weight"], rates["norm.bias"]
    assert (weights[0], biases[0]) == pytest.approx((4e-6, 4e-6))
    # Ten steps: half of the way from 4e-6 to the peaks 4e-4 and 8e-4.
    assert (weights[10], biases[10]) == pytest.approx((2.02e-4, 4.02e-4))
    # Sixty steps: the mean of the peak and 8e-7.
    assert (weights[60], biases[60]) == pytest.approx((2.004e-4, 4.004e-4))
    assert weights[119] > 8e-7


def test_every_epoch_of_clip_reids_second_stage_has_the_published_rate():
    spec = specs_of("clip_vit_market")["baseline"]
    weights, biases = (step_rates(peak, (30, 50), 10, 0.1, 60, at_end=False) for peak in (5e-6, 1e-5))
    rates = our_rates(spec, "backbone", 60)
    compare(rates, weights, biases)
    by_hand = [rates["norm.weight"][epoch - 1] for epoch in (1, 9, 10, 29, 30, 49, 50, 60)]
    assert by_hand == pytest.approx([9.5e-7, 4.55e-6, 5e-6, 5e-6, 5e-7, 5e-7, 5e-8, 5e-8])
    assert spec.backbone.name == "Adam"


def test_every_epoch_of_fast_reids_bag_of_tricks_ends_with_the_published_rate():
    """It rises within the epochs of the warm-up, and its steps 40 and 90 count from the tenth epoch's end."""
    spec = specs_of("resnet50_market")["baseline"]
    expected, counted = [], 0
    for epoch in range(1, 121):
        # After the warm-up, the scheduler is stepped at the end of each epoch, the tenth included.
        risen = min(epoch / 10, 1)
        expected.append(3.5e-4 * (0.1 + 0.9 * risen) * 0.1 ** ((counted >= 40) + (counted >= 90)))
        counted += epoch >= 10
    compare(our_rates(spec, "backbone", 120), expected, expected)
    assert expected[48:50] == pytest.approx([3.5e-4, 3.5e-5])
    assert expected[98:100] == pytest.approx([3.5e-5, 3.5e-6])
    assert spec.backbone.name == "Adam"


@pytest.mark.parametrize("at_end", [False, True])
def test_every_epoch_of_transreid_ssls_other_schedule_has_the_published_rate(at_end):
    words = ["SOLVER.SCHEDULE", "multistep", "SOLVER.STEP_AT", "epoch_end" if at_end else "epoch_start"]
    words += ["SOLVER.WARMUP_FACTOR", "0.01"]
    weights, biases = (step_rates(peak, (40, 70), 20, 0.01, 120, at_end) for peak in (4e-4, 8e-4))
    compare(our_rates(specs_of("vit_small_msmt", *words)["baseline"], "backbone", 120), weights, biases)


@pytest.mark.parametrize("recipe", ["vit_base_market", "vit_small_msmt"])
def test_denoisers_of_four_times_the_rate_start_and_end_where_the_backbone_does(recipe):
    """DenoiseRep's authors: 1e-4, and 4e-4 for denoisers, with 1e-4 the base of both; no warm-up here."""
    spec, at_end = specs_of(recipe)["denoise"], COSINES[recipe][2]
    weights, biases, denoisers = (cosine_rates(1e-4, k * 1e-4, 0, 120, at_end) for k in (1, 2, 4))
    compare(our_rates(spec, "backbone", 120), weights, biases)
    compare(our_rates(spec, "denoisers", 120), denoisers, denoisers)


@pytest.mark.parametrize(
    ("recipe", "warmup", "epochs", "base"), [("demo", 3, 20, 1e-3), ("vehicles2cam", 8, 72, 2e-3)]
)
def test_the_rates_behind_the_figures_of_the_readme_stay(recipe, warmup, epochs, base):
    """They were measured where the ends were shares of each group's peak; with one peak that is the same."""
    specs = specs_of(recipe)
    factors = [
        0.01 + 0.99 * e / warmup if e < warmup else 0.002 + 0.998 * (1 + math.cos(math.pi * e / epochs)) / 2
        for e in range(1, epochs + 1)
    ]
    expected = [base * factor for factor in factors]
    compare(our_rates(specs["baseline"], "backbone", epochs), expected, expected)
    denoisers = [1e-3 * (0.002 + 0.998 * (1 + math.cos(math.pi * e / 5)) / 2) for e in range(1, 6)]
    compare(our_rates(specs["denoise"], "denoisers", 5), denoisers, denoisers)

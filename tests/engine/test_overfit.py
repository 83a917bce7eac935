"""Overfitting a batch, in every kind of phase, from the same weights and in the same noise."""

import copy
from dataclasses import replace

import pytest
import torch
from small import draw_people, small_config

from reid.data import set_epoch
from reid.engine.build import build_run
from reid.engine.overfit import _answers, overfit
from reid.engine.trainer import Trainer
from reid.utils import InputError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def make_run(people, tmp_path, *words):
    return build_run(small_config(people, tmp_path / "run", *words))


def test_every_phase_learns_the_batch_and_the_run_stays_as_it_was(people, tmp_path):
    run = make_run(people, tmp_path, "DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1")
    before = copy.deepcopy(run.model.state_dict())
    report = overfit(run, 10)
    assert [attempt.name for attempt in report.attempts] == [
        "baseline",
        "alternating, denoisers",
        "alternating, backbone",
    ]
    assert report.is_well
    assert report.num_images == 16
    first = report.attempts[0]
    assert first.after["loss"] < 0.5 * first.before["loss"]
    assert first.after["classified_right"] > first.before["classified_right"]
    assert all(torch.equal(value, before[key]) for key, value in run.model.state_dict().items())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["label_free", "joint"])
def test_denoisers_learn_the_batch(people, tmp_path, mode):
    run = make_run(people, tmp_path, "DENOISE.MODE", mode, "DENOISE.BASE_LR", "1e-3")
    (last,) = overfit(replace(run, stages=run.stages[1:]), 10).attempts
    assert last.name == mode
    assert last.has_fallen
    assert last.before["denoise"] == pytest.approx(8)  # 1 a layer
    assert ("classified_right" in last.after) == (mode == "joint")


def test_phases_do_not_take_from_each_other(people, tmp_path):
    """A zero denoiser moves features by its factor 1 / sqrt(a_t) alone, so both phases begin alike."""
    run = make_run(people, tmp_path, "DENOISE.MODE", "alternating", "MODEL.DROP_PATH", "0")
    run = replace(run, stages=[run.stages[0], replace(run.stages[1], phases=run.stages[1].phases[:1])])
    baseline, denoisers = overfit(run, 3).attempts
    assert denoisers.before["id"] == pytest.approx(baseline.before["id"], rel=1e-2)


def test_every_phase_runs_at_its_peak_rate(people, tmp_path, monkeypatch):
    """Not at the first epoch's, which warms up. Of the backbone, biases have twice the rate."""
    rates = []

    def record(self, batch, step, optimizers, turn):
        rates.append([group["lr"] for optimizer in optimizers for group in optimizer.param_groups])
        return {"loss": 1.0}

    monkeypatch.setattr(Trainer, "_step", record)
    words = ("SOLVER.MAX_EPOCHS", "9", "SOLVER.WARMUP_EPOCHS", "5", "DENOISE.MODE", "alternating")
    overfit(make_run(people, tmp_path, *words, "DENOISE.PERIOD", "1"), 2)
    # Measured before and after two steps.
    assert rates == 4 * [[1e-3, 2e-3]] + 4 * [[1e-2, 1e-2]] + 4 * [[1e-4, 2e-4]]


@pytest.mark.slow
def test_before_and_after_are_measured_in_the_same_noise(people, tmp_path):
    """At rest nothing changes, to the bit, though paths are dropped and noise is drawn; so nothing fell."""
    words = ("MODEL.DROP_PATH", "0.5", "DENOISE.LOSS", "l1", "SOLVER.BASE_LR", "0", "DENOISE.BASE_LR", "0")
    report = overfit(make_run(people, tmp_path, *words), 3)
    assert not report.is_well
    for attempt in report.attempts:
        assert attempt.after == attempt.before
    assert "raise DENOISE.BASE_LR" in report.verdict()


def test_what_is_classified_right_is_counted(people, tmp_path):
    """Against a pass of the model itself over the same batch."""
    run = make_run(people, tmp_path, "MODEL.DROP_PATH", "0", "DENOISE.MODE", "none")
    # Spread, so that the untrained answers are not all one class.
    torch.nn.init.normal_(run.model.classifier.weight)
    (attempt,) = overfit(run, 1).attempts
    set_epoch(run.loader, 1)
    batch = next(iter(run.loader))
    answers = run.model.train()(batch.images).logits.argmax(dim=1)
    right = sum(int(answer == pid) for answer, pid in zip(answers, batch.pids, strict=True)) / 16
    assert attempt.before["classified_right"] == pytest.approx(right)


def test_answers_are_kept_inside_the_block_only(people, tmp_path):
    model = make_run(people, tmp_path).model
    with _answers(model) as answers:
        model.classifier(torch.eye(model.dim)[:3])
    model.classifier(torch.eye(model.dim))
    assert [len(answer) for answer in answers] == [3]


def test_without_an_identity_loss_nothing_is_classified(people, tmp_path):
    words = ("MODEL.ID_LOSS_WEIGHT", "0", "DENOISE.MODE", "none")
    (attempt,) = overfit(make_run(people, tmp_path, *words), 1).attempts
    assert set(attempt.before) == {"loss", "triplet"}


def test_a_loss_that_is_not_finite_is_refused(people, tmp_path):
    words = ("SOLVER.BASE_LR", "100", "SOLVER.OPTIMIZER_NAME", "SGD", "DENOISE.MODE", "none")
    with pytest.raises(InputError, match=r"not finite in phase baseline, step \d+; lower SOLVER.BASE_LR"):
        overfit(make_run(people, tmp_path, *words), 20)


@pytest.mark.parametrize("steps", [0, -1])
def test_no_steps_are_refused(people, tmp_path, steps):
    with pytest.raises(InputError, match=f"--overfit must take 1 step or more, got {steps}"):
        overfit(make_run(people, tmp_path), steps)


def test_too_few_images_for_all_processes_are_refused(people, tmp_path, monkeypatch):
    monkeypatch.setattr("reid.engine.overfit.iterate", lambda loader: iter(()))
    with pytest.raises(InputError, match=r"need an image each, \w+ has too few"):
        overfit(make_run(people, tmp_path), 1)

"""The scaled path of a GPU, with float16 and a scaler on the CPU; resuming is tested on whole runs."""

import copy
from dataclasses import replace

import pytest
import torch
from small import draw_people, small_config

from reid.data import set_epoch
from reid.engine.build import build_run
from reid.engine.distributed import World
from reid.engine.phases import JOINT
from reid.engine.trainer import Trainer, Turn
from reid.utils import InputError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def make_trainer(people, tmp_path, is_scaled, *more):
    words = ("SOLVER.OPTIMIZER_NAME", "SGD", "SOLVER.CLIP_NORM", "0.5", "MODEL.DROP_PATH", "0")
    run = build_run(small_config(people, tmp_path / "run", *words, *more))
    spec = run.trainers["baseline"]
    trainer = Trainer(run.model, run.stages[0], run.loader, run.label_loss, run.device, spec)
    # Low enough that no gradient of the first step overflows.
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=128.0, enabled=is_scaled)
    return trainer


def first_step(people, tmp_path, is_scaled):
    """The change of all weights in one step."""
    trainer = make_trainer(people, tmp_path, is_scaled)
    before = copy.deepcopy(list(trainer.model.parameters()))
    phase = trainer.stage.phases[0]
    trainer.freezer.enter(phase)
    batch = next(iter(trainer.loader))
    trainer._step(batch, trainer._loss_step(phase), trainer._optimizers_of(phase), Turn(True, True, 1))
    after = trainer.model.parameters()
    return torch.cat([(new - old).detach().flatten() for old, new in zip(before, after, strict=True)])


def test_a_scaled_step_is_the_plain_one(people, tmp_path):
    """In direction and in length: clipping sees gradients without the scale."""
    plain, scaled = (first_step(people, tmp_path, is_scaled) for is_scaled in (False, True))
    assert torch.cosine_similarity(plain, scaled, dim=0) > 0.999
    assert float(scaled.norm()) == pytest.approx(float(plain.norm()), rel=1e-3)


def test_a_run_goes_on_with_scaling_where_it_began_without(people, tmp_path):
    """Interrupted on a CPU, resumed on a GPU."""
    state = make_trainer(people, tmp_path, is_scaled=False).state_dict()
    trainer = make_trainer(people, tmp_path, is_scaled=True)
    trainer.load_state_dict(state | {"epoch": 1})
    assert trainer.epoch == trainer.number == 1
    assert trainer.scaler.get_scale() == 128


@pytest.mark.parametrize("done", [0, 2])
def test_every_epoch_runs_at_its_rate_also_after_an_interruption(people, tmp_path, monkeypatch, done):
    """By hand, of four epochs at 1e-3 that are stepped at their ends: t = 0, 1, 2, 3, two of them warm-up."""
    words = ("SOLVER.MAX_EPOCHS", "4", "SOLVER.WARMUP_EPOCHS", "2", "SOLVER.STEP_AT", "epoch_end")
    trainer = make_trainer(people, tmp_path, False, *words)
    trainer.load_state_dict(trainer.state_dict() | {"epoch": done})
    seen, logged = {}, []

    def record(self, batch, step, optimizers, turn):
        seen[self.number + 1] = [group["lr"] for group in optimizers[0].param_groups]
        return {"loss": 0.0}

    monkeypatch.setattr(Trainer, "_step", record)
    trainer.fit(lambda figures: logged.append(figures["lr"]))
    weights = [1e-5, 5.05e-4, 5.01e-4, 2e-6 + 0.499e-3 * (1 - 0.5**0.5)]
    biases = [1e-5, 1.005e-3, 1.001e-3, 2e-6 + 0.999e-3 * (1 - 0.5**0.5)]
    assert list(seen) == list(range(done + 1, 5))
    for epoch, rates in seen.items():
        assert rates == pytest.approx([weights[epoch - 1], biases[epoch - 1]])
    assert logged == pytest.approx(weights[done:])


def test_the_bias_of_the_neck_which_is_frozen_is_in_no_group(people, tmp_path):
    trainer = make_trainer(people, tmp_path, False)
    stepped = {id(p) for group in trainer.optimizers["backbone"].param_groups for p in group["params"]}
    left_out = {name for name, p in trainer.model.named_parameters() if id(p) not in stepped}
    assert left_out == {"neck.bias"}


@pytest.mark.parametrize(
    ("accumulate", "total", "expected"),
    [
        (1, 2, [Turn(True, True, 1), Turn(True, True, 1)]),
        (2, 3, [Turn(True, False, 2), Turn(False, True, 2), Turn(True, True, 1)]),
    ],
)
def test_batches_take_turns_and_the_last_group_may_be_smaller(people, tmp_path, accumulate, total, expected):
    words = ("SOLVER.ACCUMULATE", str(accumulate))
    run = build_run(small_config(people, tmp_path / "run", *words))
    trainer = Trainer(
        run.model, run.stages[0], run.loader, run.label_loss, run.device, run.trainers["baseline"]
    )
    assert [trainer._turn(i, total) for i in range(1, total + 1)] == expected


def test_two_batches_give_the_mean_of_their_gradients(people, tmp_path):
    """One step of SGD on both is the mean of the steps on each, from the same weights."""
    changes = []
    for turns in ([Turn(True, True, 1)], [Turn(True, True, 1)], [Turn(True, False, 2), Turn(False, True, 2)]):
        trainer = make_trainer(people, tmp_path, is_scaled=False)
        trainer.spec = replace(trainer.spec, clip_norm=0.0)
        phase = trainer.stage.phases[0]
        trainer.freezer.enter(phase)
        # The statistics of a BatchNorm's batch are no matter of gradients.
        trainer.model.eval()
        before = copy.deepcopy(list(trainer.model.parameters()))
        batches = list(trainer.loader)
        chosen = batches[:2] if len(turns) == 2 else [batches[len(changes)]]
        for batch, turn in zip(chosen, turns, strict=True):
            trainer._step(batch, trainer._loss_step(phase), trainer._optimizers_of(phase), turn)
        changed = zip(before, trainer.model.parameters(), strict=True)
        changes.append(torch.cat([(new - old).detach().flatten() for old, new in changed]))
    # Weight decay is in every step alike.
    torch.testing.assert_close(changes[2], (changes[0] + changes[1]) / 2, rtol=1e-3, atol=1e-7)


def test_an_epoch_draws_its_noise_from_the_seed_its_number_and_the_process(people, tmp_path):
    trainer = make_trainer(people, tmp_path, False)

    def first_noise():
        return torch.rand(1, generator=trainer._loss_step(JOINT).options[-1]).item()

    first = first_noise()
    assert first_noise() == first
    trainer.epoch = 1
    assert first_noise() != first
    seeds = [trainer._seeds()]
    for rank in (0, 1):
        trainer.world = World(rank, 2)
        seeds.append(trainer._seeds())
    assert seeds == [(1234, 2), (1234, 2, 0), (1234, 2, 1)]


def weights_of(trainer):
    return torch.cat([p.detach().flatten().clone() for p in trainer.model.parameters()])


def test_a_rehearsal_of_an_epoch_s_batches_is_the_epoch(people, tmp_path):
    """The same losses and the same weights, with dropped paths; and the epoch is still to come."""
    words = ("MODEL.DROP_PATH", "0.5", "SOLVER.CLIP_NORM", "0")
    real, rehearsed = (make_trainer(people, tmp_path, False, *words) for _ in range(2))
    figures = []
    real.stage = replace(real.stage, phases=real.stage.phases[:1])
    rehearsed.stage = real.stage
    real.fit(figures.append)
    set_epoch(rehearsed.loader, 1)
    values = list(rehearsed.rehearse(rehearsed.loader))
    assert sum(v["loss"] for v in values) / len(values) == pytest.approx(figures[0]["loss"], rel=1e-6)
    assert torch.equal(weights_of(real), weights_of(rehearsed))
    assert (real.epoch, rehearsed.epoch) == (1, 0)


def test_a_rehearsal_can_look_without_learning(people, tmp_path):
    trainer = make_trainer(people, tmp_path, False, "MODEL.DROP_PATH", "0.5")
    batch, before = next(iter(trainer.loader)), weights_of(trainer)
    first, again = (list(trainer.rehearse([batch], learns=False)) for _ in range(2))
    assert first == again
    assert torch.equal(weights_of(trainer), before)
    trainer.epoch = 1  # draws other paths
    assert list(trainer.rehearse([batch], learns=False)) != first


def test_a_rehearsal_with_a_loss_that_is_not_finite_is_refused(people, tmp_path):
    trainer = make_trainer(people, tmp_path, False)
    batch = next(iter(trainer.loader))
    spoilt = batch._replace(images=batch.images * torch.nan)
    with pytest.raises(InputError, match=r"not finite in phase baseline, step 2; lower SOLVER.BASE_LR"):
        list(trainer.rehearse([batch, spoilt]))


def test_a_rehearsal_takes_the_memory_of_an_epoch(people, tmp_path, monkeypatch):
    """Blocks are computed again in it, and are themselves after it."""
    trainer = make_trainer(people, tmp_path, False, "SOLVER.GRAD_CHECKPOINTING", "True")
    seen, step = [], Trainer._step

    def look(self, *args):
        seen.extend("forward" in vars(block) for block in self.recomputed)
        return step(self, *args)

    monkeypatch.setattr(Trainer, "_step", look)
    list(trainer.rehearse([next(iter(trainer.loader))]))
    assert len(seen) == len(trainer.recomputed) > 0
    assert all(seen)
    assert not any("forward" in vars(block) for block in trainer.recomputed)

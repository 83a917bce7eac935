"""A loss that training cannot go on from: where it begins, and what is written of its batch."""

import json
import math

import pytest
from full_disk import full_disk
from small import draw_people, small_config

from reid.engine.bad_batch import BadBatch, BadBatchError, LossGuard, write_bad_batch
from reid.engine.build import build_run
from reid.engine.trainer import Trainer
from reid.utils import InputError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def faults(*losses, phase="baseline"):
    guard = LossGuard()
    return [guard.fault(phase, loss) for loss in losses]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_fault_also_in_the_first_batch(loss):
    assert faults(loss) == ["the loss is not finite"]


@pytest.mark.parametrize("first", [1e-9, 1.0, 80.0, 1e9])
def test_a_first_loss_of_any_size_is_none(first):
    """The denoising loss of a large network is near 100."""
    assert faults(first) == [""]


def test_a_loss_explodes_beyond_100_times_the_mean_so_far():
    assert faults(2.0, 4.0, 300.0) == ["", "", ""]
    above = "the loss has exploded (above 300, 100 times max(1, its mean so far))"
    assert faults(2.0, 4.0, 301.0) == ["", "", above]


def test_small_losses_may_rise_to_100():
    assert faults(0.01, 100.0) == ["", ""]
    assert faults(0.01, 100.1)[1].startswith("the loss has exploded (above 100,")


def test_each_phase_has_its_own_mean():
    guard = LossGuard()
    assert [guard.fault(phase, loss) for phase, loss in (("backbone", 1.0), ("denoisers", 500.0))] == ["", ""]
    assert guard.fault("backbone", 500.0)
    assert not guard.fault("denoisers", 500.0)


def make_batch(count, **changes):
    facts = {
        "reason": "the loss is not finite",
        "phase": "joint",
        "epoch": 3,
        "iteration": 7,
        "losses": {"loss": math.nan, "id": math.inf, "triplet": 0.25},
        "files": [f"{i}.jpg" for i in range(count)],
        "advice": "lower SOLVER.BASE_LR",
    }
    return BadBatch(**facts | changes)


@pytest.mark.parametrize(
    ("count", "names"), [(1, "0.jpg"), (3, "0.jpg, 1.jpg, 2.jpg"), (5, "0.jpg, 1.jpg, 2.jpg and 2 more")]
)
def test_the_error_names_the_first_images(count, names):
    assert str(BadBatchError(make_batch(count), " (told there)")) == (
        "the loss is not finite in epoch 3, iteration 7: loss nan, id inf, triplet 0.25;"
        f" lower SOLVER.BASE_LR; its images are {names} (told there)"
    )


def test_numbers_that_json_has_not_are_written_as_text(tmp_path):
    path = tmp_path / "bad_batch.json"
    assert write_bad_batch(make_batch(2), path) == f" (all of them in {path})"
    found = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert found == {
        "reason": "the loss is not finite",
        "phase": "joint",
        "epoch": 3,
        "iteration": 7,
        "losses": {"loss": "nan", "id": "inf", "triplet": 0.25},
        "files": ["0.jpg", "1.jpg"],
    }


def test_a_full_disk_does_not_hide_what_happened(tmp_path):
    path = tmp_path / "bad_batch.json"
    with full_disk():
        words = write_bad_batch(make_batch(1000), path)
    assert words.startswith(f" ({path} could not be written: ")
    assert "File too large" in words
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("losses", "place", "message"),
    [
        ([3.0, math.nan], (1, 2), r"the loss is not finite in epoch 1, iteration 2: loss nan, id 1"),
        ([3.0, 5.0, 401.0], (2, 1), r"the loss has exploded .* in epoch 2, iteration 1: loss 401, id 1"),
    ],
)
def test_a_run_stops_and_leaves_the_images_of_the_batch(
    people, tmp_path, monkeypatch, losses, place, message
):
    seen, values = [], iter(losses)

    def step(self, batch, *_):
        seen.append(batch.indices.tolist())
        return {"loss": next(values), "id": 1.0}

    monkeypatch.setattr(Trainer, "_step", step)
    run = build_run(small_config(people, tmp_path / "run"))
    with pytest.raises(InputError, match=message) as error:
        run.run()
    found = json.loads((tmp_path / "run" / "bad_batch.json").read_text())
    images = sorted((people / "bounding_box_train").glob("*.jpg"))
    assert found["files"] == [str(images[row]) for row in seen[-1]]
    assert (found["epoch"], found["iteration"], found["phase"]) == (*place, "baseline")
    assert found["losses"]["id"] == 1
    words = str(error.value)
    assert f"only come here again; its images are {found['files'][0]}, " in words
    assert words.endswith(f" and 13 more (all of them in {tmp_path / 'run' / 'bad_batch.json'})")


def test_a_loss_that_was_fine_before_an_interruption_has_no_mean_after_it(people, tmp_path, monkeypatch):
    """The first batch of a process has nothing before it."""
    run = build_run(small_config(people, tmp_path / "run"))
    trainer = Trainer(
        run.model, run.stages[0], run.loader, run.label_loss, run.device, run.trainers["baseline"]
    )
    trainer.load_state_dict(trainer.state_dict() | {"epoch": 1})
    monkeypatch.setattr(Trainer, "_step", lambda *_: {"loss": 1e6})
    trainer.fit(lambda figures: None)
    assert trainer.number == 2

"""A dry run: its counts are those of the run itself, its times those of the clock, and it writes nothing."""

import json
from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from small import draw_people, small_config

import reid.engine.dry_run
from reid.data import plain_loader
from reid.engine.build import build_run
from reid.engine.dry_run import count_bytes, dry_run
from reid.engine.evaluate import Evaluator
from reid.engine.run_folder import BASELINE, DENOISED, FUSED, LAST, RunFolder
from reid.engine.trainer import Trainer
from reid.utils import InputError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def make_run(people, folder, *words):
    return build_run(small_config(people, folder, *words))


def ticking():
    """A clock that goes on by a second at each look."""
    ticks = count()
    return lambda: float(next(ticks))


def test_times_are_those_of_the_clock(people, tmp_path):
    """By hand: reading is one look, a step or an embedding the way to the next look or two of them.

    A stage has 2 epochs of 2 batches (32 images, 16 a batch), read in 1 s and worked on in 2 s each: 12 s. It
    is evaluated once, on one batch, read in 1 s and embedded in 1 s: 2 s. There are two such stages.
    """
    estimate = dry_run(make_run(people, tmp_path / "run"), ticking())
    assert [(cost.stage, cost.name, cost.passes, cost.seconds) for cost in estimate.phases] == [
        ("baseline", "baseline", (2, 2), 12.0),
        ("label_free", "label_free", (2, 2), 12.0),
    ]
    assert [(cost.stage, cost.name, cost.passes, cost.seconds) for cost in estimate.evaluations] == [
        ("baseline", "market1501", (1,), 2.0),
        ("label_free", "market1501", (1,), 2.0),
    ]
    assert estimate.seconds == 28.0
    assert estimate.fused_difference < 1e-4
    assert estimate.is_well
    assert not (tmp_path / "run").exists()


def test_the_first_step_is_not_timed(people, tmp_path, monkeypatch):
    """The clock: 0, 1 around reading a test batch, 2 to 4 until a batch is read, 5 after its step."""
    monkeypatch.setattr(reid.engine.dry_run, "TIMED_STEPS", 1)
    ticks = count()

    def slow_at_first():
        tick = next(ticks)
        return float(tick + 1000 * (tick >= 5))

    (cost,) = dry_run(make_run(people, tmp_path / "run", "DENOISE.MODE", "none"), slow_at_first).phases
    assert cost.time.work == 2.0


@pytest.mark.slow
def test_counts_and_sizes_are_those_of_the_run(tmp_path, monkeypatch):
    """Of a run whose epochs differ in their batches, with both phases in turn and evaluations between."""
    people = draw_people(tmp_path / "people", num_train_ids=3, images_per_camera=4)
    words = ("SOLVER.MAX_EPOCHS", "3", "SOLVER.EVAL_PERIOD", "2", "SOLVER.CHECKPOINT_PERIOD", "1")
    words += ("DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1", "DENOISE.MAX_EPOCHS", "4")
    words += ("SOLVER.IMS_PER_BATCH", "8", "TEST.IMS_PER_BATCH", "16", "SOLVER.TENSORBOARD", "False")
    monkeypatch.setattr(reid.engine.dry_run, "TIMED_STEPS", 1)
    estimate = dry_run(make_run(people, tmp_path / "run", *words), ticking())
    assert len({batches for cost in estimate.phases for batches in cost.passes}) > 1
    steps, embedded, sizes = Counter(), Counter(), []
    step, save, embed = Trainer._step, RunFolder.save, Evaluator.extract

    def counted_step(self, *args):
        steps[self.stage.name, self.stage.phases[self.epoch].name] += 1
        return step(self, *args)

    def counted_embed(self, *args):
        embedded["evaluations"] += 1
        embedded["batches"] += len(self.loader)
        return embed(self, *args)

    def measured_save(self, *args):
        save(self, *args)
        sizes.append((self.path / LAST).stat().st_size)

    monkeypatch.setattr(Trainer, "_step", counted_step)
    monkeypatch.setattr(Evaluator, "extract", counted_embed)
    monkeypatch.setattr(RunFolder, "save", measured_save)
    make_run(people, tmp_path / "run", *words).run()
    assert {(cost.stage, cost.name): sum(cost.passes) for cost in estimate.phases} == dict(steps)
    assert sum(len(cost.passes) for cost in estimate.evaluations) == embedded["evaluations"] == 4
    assert sum(sum(cost.passes) for cost in estimate.evaluations) == embedded["batches"]
    kept = sum((tmp_path / "run" / name).stat().st_size for name in (BASELINE, DENOISED, FUSED))
    # A file holds more than its tensors: their names, and a header.
    assert kept == pytest.approx(estimate.disk.kept, rel=0.03)
    assert estimate.disk.most - estimate.disk.kept == pytest.approx(3 * max(sizes), rel=0.03)


def test_without_test_images_only_training_is_estimated(people, tmp_path):
    images = sorted((people / "bounding_box_train").glob("*.jpg"))
    rows = "".join(f"{path},{path.name[:4]},0,train\n" for path in images)
    (tmp_path / "list.csv").write_text(f"path,pid,camid,split\n{rows}")
    run = make_run(tmp_path, tmp_path / "run", "DATASETS.NAMES", "list.csv", "DENOISE.MODE", "none")
    estimate = dry_run(run, ticking())
    assert estimate.evaluations == []
    assert estimate.fused_difference is None
    assert estimate.seconds == 12.0
    json.dumps(estimate.as_dict(), allow_nan=False)


def test_workers_read_beside_the_steps(people, tmp_path):
    words = ("DATALOADER.NUM_WORKERS", "1", "DENOISE.MODE", "none")
    estimate = dry_run(make_run(people, tmp_path / "run", *words), ticking())
    (cost,) = estimate.phases
    assert (cost.time.read, cost.time.work, cost.time.workers) == (1.0, 2.0, 1)
    assert cost.seconds == 4 * 2.0 + 2 * 1.0
    assert "; 1 process that reads images comes on top" in estimate.as_text()


def test_an_unreadable_test_image_fails_at_once(tmp_path, monkeypatch):
    root = draw_people(tmp_path / "people")
    victim = min((root / "query").glob("*.jpg"))
    victim.write_bytes(b"no image")
    run = make_run(root, tmp_path / "run")
    monkeypatch.setattr(Trainer, "_step", None)
    with pytest.raises(InputError, match=victim.name):
        dry_run(run)


def test_an_unreadable_training_image_fails(tmp_path):
    root = draw_people(tmp_path / "people")
    for path in (root / "bounding_box_train").glob("*.jpg"):
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="bounding_box_train"):
        dry_run(make_run(root, tmp_path / "run"))


def test_a_loss_that_is_not_finite_fails(people, tmp_path):
    run = make_run(people, tmp_path / "run")
    torch.nn.init.constant_(run.model.classifier.weight, torch.nan)
    with pytest.raises(InputError, match=r"not finite in phase baseline, step 1; lower SOLVER.BASE_LR"):
        dry_run(run)


@pytest.mark.parametrize(
    ("name", "message"),
    [(LAST, "holds an unfinished run; pass --resume"), (FUSED, r"holds a finished run \(fused.pth\)")],
)
def test_a_folder_that_holds_a_run_fails_and_stays(people, tmp_path, name, message):
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=message):
        dry_run(make_run(people, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be_written_fails(people, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"OUTPUT_DIR .*run: the results must go into a folder"):
        dry_run(make_run(people, tmp_path / "file" / "run"))


def test_denoisers_that_do_not_fold_fail(people, tmp_path, monkeypatch):
    def refuse(model):
        raise ValueError("blocks.0 cannot be fused: a fused value is not finite")

    monkeypatch.setattr(reid.engine.dry_run, "fuse_denoisers", refuse)
    with pytest.raises(InputError, match=r"do not fold .* not finite; choose other DENOISE.TARGETS"):
        dry_run(make_run(people, tmp_path / "run"))


@pytest.mark.slow
def test_what_does_not_fold_by_design_is_kept_unfused(people, tmp_path):
    """The final feature has no layer behind it: there is no fused checkpoint, and nothing to try."""
    folds, stays = (
        dry_run(make_run(people, tmp_path / "run", "DENOISE.TARGETS", f"['{targets}']"), ticking())
        for targets in ("mlp", "feature")
    )
    assert folds.fused_difference is not None
    assert stays.fused_difference is None
    assert stays.disk.kept < folds.disk.kept


def test_a_full_disk_is_told(people, tmp_path, monkeypatch):
    monkeypatch.setattr(reid.engine.dry_run, "free_space", lambda folder: 10**6)
    estimate = dry_run(make_run(people, tmp_path / "run", "DENOISE.MODE", "none"))
    assert not estimate.is_well
    assert "warning: the disk lacks" in estimate.as_text()


def test_a_process_without_test_images_waits_for_the_others(people, tmp_path):
    run = make_run(people, tmp_path / "run", "DENOISE.MODE", "none")
    ((name, evaluator),) = run.evaluators.items()
    empty = evaluator.dataset.test.select(np.empty(0, np.int64))
    loader = plain_loader(empty, run.header.preprocessing, 4, 0)
    run = replace(run, evaluators={name: replace(evaluator, loader=loader)})
    (cost,) = dry_run(run, ticking()).evaluations
    assert cost.passes == (0,)


def test_all_tensors_are_counted():
    tree = {
        "a": torch.zeros(3),
        "b": [torch.zeros(2, dtype=torch.float64), {"c": (torch.zeros(()), 1)}],
        "d": "x",
    }
    assert count_bytes(tree) == 12 + 16 + 4

"""Whole runs at toy size: training, its folder, resuming, and the comparison."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from runs import interrupt, metric_rows
from small import draw_people, small_config, small_words

from reid.engine import compare
from reid.engine.build import build_run
from reid.engine.illustrate import illustrate
from reid.engine.load import load_baseline, load_for_test
from reid.engine.run_folder import RunFolder
from reid.models import load_checkpoint
from reid.utils import InputError, hold_folder


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def finished(people, tmp_path_factory):
    """A finished run: its configuration, its folder, its results."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    cfg = small_config(people, folder)
    return cfg, folder, build_run(cfg).run()


def only(values):
    """The one value of a dictionary."""
    (value,) = values.values()
    return value


def states(folder):
    names = ("baseline.pth", "denoised.pth", "fused.pth")
    return {
        name: load_checkpoint(folder / name)[0].state_dict() for name in names if (folder / name).exists()
    }


def assert_same_weights(a, b):
    first, second = states(a), states(b)
    assert first.keys() == second.keys()
    for name, state in first.items():
        assert all(torch.equal(value, second[name][key]) for key, value in state.items()), name


def test_a_run_leaves_everything_needed_to_repeat_it(finished):
    _, folder, results = finished
    assert {path.name for path in folder.iterdir()} == {
        "baseline.pth",
        "config.yml",
        "curves.png",
        "denoised.pth",
        "fused.pth",
        "metrics.jsonl",
        "run.json",
        "tensorboard",
    }
    assert set(results) == {"baseline", "label_free"}
    facts = json.loads((folder / "run.json").read_text())
    assert facts["train"]["num_images"] == 32
    assert {"seed", "versions", "trials", "device"} <= set(facts)


def test_metrics_have_a_row_an_epoch_and_an_evaluation_a_stage(finished):
    rows = [json.loads(line) for line in (finished[1] / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert [row["stage"] for row in rows if "evaluation" in row] == ["baseline", "label_free"]
    assert {"mAP", "mINP", "R1", "R5", "R10", "num_query", "num_gallery"} <= set(rows[2]["evaluation"])


def test_label_free_training_leaves_the_backbone_as_it_was(finished):
    found = states(finished[1])
    for key, value in found["baseline.pth"].items():
        assert torch.equal(value, found["denoised.pth"][key])


def test_fused_equals_unfused_in_the_comparison(finished):
    cfg, folder, _ = finished
    model, header = load_for_test(cfg, folder / "denoised.pth")
    baseline, source = load_baseline(cfg, model, folder / "denoised.pth", None)
    assert source == str(folder / "baseline.pth")
    assert header.state == "attached"
    run = build_run(cfg)
    comparison = compare(model, baseline, only(run.evaluators), rounds=1)
    assert list(comparison.rows) == ["baseline", "+ DenoiseRep unfused", "+ DenoiseRep fused"]
    assert comparison.fused_difference.largest < 1e-4
    assert 0.9 < comparison.baseline_cosine.lowest <= 1.0001
    assert len(comparison.weight_changes) == 8
    rows = comparison.rows
    assert rows["+ DenoiseRep fused"].num_parameters == rows["baseline"].num_parameters
    assert rows["+ DenoiseRep unfused"].num_parameters > rows["baseline"].num_parameters
    json.dumps(comparison.as_dict(), allow_nan=False)
    assert "protocol: drawn people" in comparison.as_text()
    pictures = illustrate(comparison, only(run.evaluators), folder / "pictures")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_the_fused_checkpoint_has_the_plain_keys(finished):
    found = states(finished[1])
    assert list(found["fused.pth"]) == list(found["baseline.pth"])


def test_a_run_where_another_is_at_work_is_refused(people, tmp_path):
    run = build_run(small_config(people, tmp_path / "run"))
    with hold_folder(run.folder.path), pytest.raises(InputError, match="another run is at work in"):
        run.run()
    assert list((tmp_path / "run").iterdir()) == []


def test_the_same_seed_gives_the_same_bits(finished, people, tmp_path):
    build_run(small_config(people, tmp_path / "again")).run()
    assert_same_weights(finished[1], tmp_path / "again")


@pytest.mark.parametrize(
    "epochs_before", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_resumed_run_ends_with_the_same_bits(finished, people, tmp_path, epochs_before):
    """Interrupted in the baseline stage, between the stages, or in the denoising stage."""
    cfg = small_config(people, tmp_path / "cut", "SOLVER.CHECKPOINT_PERIOD", "1")
    interrupt(cfg, epochs_before)
    with pytest.raises(InputError, match="holds an unfinished run; pass --resume"):
        build_run(cfg).run()
    other = small_config(people, tmp_path / "cut", "SOLVER.CHECKPOINT_PERIOD", "1", "SOLVER.SEED", "7")
    with pytest.raises(InputError, match=r"another configuration; changed: SOLVER\.SEED: 7"):
        build_run(other).run(resume=True)
    # What a run that was killed while it wrote leaves.
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "base')
    (tmp_path / "cut" / ".last-a1b2c3d4.pth").write_bytes(b"half")
    results = build_run(cfg).run(resume=True)
    assert {name: only(found).as_dict() for name, found in results.items()} == {
        name: only(found).as_dict() for name, found in finished[2].items()
    }
    assert_same_weights(finished[1], tmp_path / "cut")
    assert files_in(tmp_path / "cut").keys() == files_in(finished[1]).keys()
    places = [(row["epoch"], "evaluation" in row) for row in metric_rows(tmp_path / "cut")]
    assert places == [(1, False), (2, False), (2, True), (3, False), (4, False), (4, True)]


KILLED_IN_EPOCH_2 = """
import os, signal, sys, torch
from reid.config import load_config
from reid.engine.build import build_run
from reid.engine.trainer import Trainer

step, count = Trainer._step, []

def killed(self, *args):
    count.append(1)
    if len(count) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args)

Trainer._step = killed
torch.set_num_threads(1)
build_run(load_config(None, sys.argv[1:])).run()
"""


@pytest.mark.slow
def test_a_run_killed_in_an_epoch_ends_with_the_same_bits(finished, people, tmp_path):
    words = small_words(people, tmp_path / "cut", "SOLVER.CHECKPOINT_PERIOD", "1")
    process = subprocess.run([sys.executable, "-c", KILLED_IN_EPOCH_2, *words], check=False)
    assert process.returncode == -signal.SIGKILL
    build_run(small_config(people, tmp_path / "cut", "SOLVER.CHECKPOINT_PERIOD", "1")).run(resume=True)
    assert_same_weights(finished[1], tmp_path / "cut")
    assert [row["epoch"] for row in metric_rows(tmp_path / "cut") if "loss" in row] == [1, 2, 3, 4]


@pytest.fixture(scope="module")
def interrupted(people, tmp_path_factory):
    """The configuration and the folder of a run that was interrupted after three epochs."""
    folder = tmp_path_factory.mktemp("run") / "interrupted"
    cfg = small_config(people, folder, "SOLVER.CHECKPOINT_PERIOD", "1")
    interrupt(cfg, 3)
    return cfg, folder


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def changed_state(**changes):
    def change(folder):
        torch.save(torch.load(folder / "last.pth") | changes, folder / "last.pth")

    return change


def without_model(folder):
    state = torch.load(folder / "last.pth")
    del state["model"]["backbone.cls_token"]
    torch.save(state, folder / "last.pth")


DAMAGE = {
    "another kind of file": (lambda f: (f / "last.pth").write_text("text"), "last.pth is "),
    "cut": (lambda f: os.truncate(f / "last.pth", 1000), "last.pth is no readable file"),
    "not a dictionary": (
        lambda f: torch.save([1], f / "last.pth"),
        "must hold the state of an unfinished run",
    ),
    "a checkpoint": (
        lambda f: (f / "baseline.pth").replace(f / "last.pth"),
        "must hold the state of an unfin",
    ),
    "epoch too late": (changed_state(epoch=5), "last.pth must hold an epoch in 1..4, got 5"),
    "epoch of the other stage": (changed_state(epoch=2), "last.pth is not of this run: "),
    "other weights": (without_model, "last.pth is not of this run: .*backbone.cls_token is missing"),
    "no optimizer": (changed_state(optimizers={}), "last.pth is not of this run: "),
    "no metrics": (
        lambda f: (f / "metrics.jsonl").write_text('{"epoch": 1}\n[]\n'),
        "metrics.jsonl, line 2, must",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_state_that_cannot_be_resumed_changes_nothing(interrupted, tmp_path, damage, message):
    cfg, folder = interrupted
    copy = shutil.copytree(folder, tmp_path / "run")
    (copy / "last.previous.pth").unlink()
    damage(copy)
    before = files_in(copy)
    run = replace(build_run(cfg), folder=RunFolder(copy))
    with pytest.raises(InputError, match=message):
        run.run(resume=True)
    assert files_in(copy) == before


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_damaged_last_state_gives_way_to_the_one_before(interrupted, tmp_path, caplog, content):
    cfg, folder = interrupted
    copy = shutil.copytree(folder, tmp_path / "run")
    if content is None:  # killed between the two renames
        (copy / "last.pth").unlink()
    else:
        (copy / "last.pth").write_bytes(content)
    state = RunFolder(copy).resume(cfg.dump())
    assert state["epoch"] == 2
    assert ("last.pth is" in caplog.text and "last.previous.pth" in caplog.text) == (content is not None)


def test_resuming_nothing_starts_anew(people, tmp_path):
    cfg = small_config(people, tmp_path / "new", "DENOISE.MODE", "none", "SOLVER.MAX_EPOCHS", "1")
    assert set(build_run(cfg).run(resume=True)) == {"baseline"}


def test_alternating_trains_both_in_turn(people, tmp_path):
    cfg = small_config(people, tmp_path / "run", "DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1")
    build_run(cfg).run()
    found = states(tmp_path / "run")
    moved = [
        key for key, v in found["baseline.pth"].items() if not torch.equal(v, found["denoised.pth"][key])
    ]
    assert "backbone.blocks.0.mlp.fc1.weight" in moved
    assert found["denoised.pth"]["backbone.blocks.0.mlp.fc1.denoiser.weight"].abs().sum() > 0


@pytest.mark.slow
def test_convolutional_networks_go_the_whole_way(people, tmp_path):
    words = ("MODEL.NAME", "resnet10", "DENOISE.TARGETS", "['conv']", "SOLVER.MAX_EPOCHS", "1")
    cfg = small_config(people, tmp_path / "run", *words)
    run = build_run(cfg)
    run.run()
    path = tmp_path / "run" / "denoised.pth"
    model, _ = load_for_test(cfg, path)
    baseline, _ = load_baseline(cfg, model, path, None)
    assert compare(model, baseline, only(run.evaluators), rounds=1).fused_difference.largest < 1e-4


def test_a_fused_checkpoint_has_a_row_of_its_own(finished):
    cfg, folder, _ = finished
    model, _ = load_for_test(cfg, folder / "fused.pth")
    evaluator = only(build_run(cfg).evaluators)
    assert list(compare(model, None, evaluator, 1, is_fused=True).rows) == ["+ DenoiseRep fused"]
    assert list(compare(model, model, evaluator, 1, is_fused=True).rows) == ["baseline", "+ DenoiseRep fused"]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("start", [None, "baseline.pth"])
def test_a_finished_run_is_neither_resumed_nor_written_over(finished, people, resume, start):
    """Also where a run would start from its weights."""
    folder = finished[1]
    words = ("SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(folder / start)) if start else ()
    before = files_in(folder)
    with pytest.raises(InputError, match=r"holds a finished run \(baseline.pth, denoised.pth, fused.pth\)"):
        build_run(small_config(people, folder, *words)).run(resume)
    assert files_in(folder) == before


def test_a_test_image_that_cannot_be_read_costs_no_training(tmp_path):
    root = draw_people(tmp_path / "people")
    victim = min((root / "query").glob("*.jpg"))
    image = victim.read_bytes()
    victim.write_bytes(b"no image")
    words = ("SOLVER.MAX_EPOCHS", "3", "SOLVER.EVAL_PERIOD", "1", "DENOISE.MODE", "none")
    cfg = small_config(root, tmp_path / "run", *words)
    with pytest.raises(InputError, match=f"{victim.name}.*up to epoch 1 is kept: .* --resume"):
        build_run(cfg).run()
    victim.write_bytes(image)
    build_run(cfg).run(resume=True)
    rows = metric_rows(tmp_path / "run")
    assert [row["epoch"] for row in rows if "evaluation" in row] == [1, 2, 3]
    assert [row["epoch"] for row in rows if "loss" in row] == [1, 2, 3]


def test_denoising_a_trained_model_needs_no_labels(finished, people, tmp_path):
    """From a list of paths alone, without identities."""
    images = sorted((people / "bounding_box_train").glob("*.jpg"))
    rows = "".join(f"{path},0,train\n" for path in images)
    (tmp_path / "list.csv").write_text(f"path,camid,split\n{rows}")
    baseline = finished[1] / "baseline.pth"
    words = ("DATASETS.NAMES", "list.csv", "SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(baseline))
    cfg = small_config(tmp_path, tmp_path / "run", *words)
    assert build_run(cfg).run() == {"label_free": {}}
    found = states(tmp_path / "run")
    for key, value in states(finished[1])["baseline.pth"].items():
        assert torch.equal(value, found["denoised.pth"][key])


def test_weights_of_other_images_are_warned_of_where_they_are_not_trained(
    finished, people, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    words = ("SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(finished[1] / "baseline.pth"))
    build_run(small_config(people, tmp_path / "run", *words))
    assert "prepared otherwise" not in caplog.text
    build_run(small_config(people, tmp_path / "run", *words, "INPUT.PIXEL_MEAN", "[0.25, 0.5, 0.5]"))
    assert "prepared otherwise than" in caplog.text
    assert "(mean (0.25, 0.5, 0.5) instead of (0.5, 0.5, 0.5)): set INPUT as they say" in caplog.text


@pytest.mark.parametrize(
    ("epochs", "explosion", "message"),
    [
        ("2", 1e9, "the weights are not finite after epoch 2; lower SOLVER.BASE_LR"),
        (
            "9",
            1e9,
            r"loss is not finite in epoch \d, iteration \d: loss (nan|inf), id .*; lower SOLVER.BASE_LR",
        ),
        (
            "2",
            100,
            r"loss has exploded \(above \d+, .* in epoch 2, iteration 1: loss [\d.]+, id .*; lower SOLVER",
        ),
    ],
)
def test_a_diverging_loss_stops_with_epoch_iteration_and_parts(
    people, tmp_path, monkeypatch, epochs, explosion, message
):
    monkeypatch.setattr("reid.engine.bad_batch.EXPLOSION", explosion)
    words = ("SOLVER.BASE_LR", "100", "SOLVER.OPTIMIZER_NAME", "SGD", "DENOISE.MODE", "none")
    run = build_run(small_config(people, tmp_path / "run", *words, "SOLVER.MAX_EPOCHS", epochs))
    with pytest.raises(InputError, match=message):
        run.run()
    assert not list((tmp_path / "run").glob("*.pth"))


@pytest.mark.slow
def test_the_loss_falls_on_few_images(people, tmp_path):
    """Gradients reach everything that is trained."""
    words = (
        "SOLVER.MAX_EPOCHS",
        "15",
        "SOLVER.BASE_LR",
        "3e-3",
        "DENOISE.MODE",
        "none",
        "MODEL.DROP_PATH",
        "0",
    )
    words += ("INPUT.RE_PROB", "0", "INPUT.PROB", "0", "MODEL.TRIPLET_LOSS_WEIGHT", "0")
    build_run(small_config(people, tmp_path / "run", *words)).run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [row["id"] for row in rows if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]


def test_identities_of_one_person_only_are_refused(tmp_path):
    root = draw_people(tmp_path / "one", num_train_ids=1)
    with pytest.raises(InputError, match="2 identities or more, the training images show 1"):
        build_run(small_config(root, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_one_epoch_is_said_in_the_singular(people, tmp_path, caplog):
    caplog.set_level("INFO")
    words = ("SOLVER.MAX_EPOCHS", "1", "DENOISE.MODE", "none")
    build_run(small_config(people, tmp_path / "run", *words)).run()
    assert "stage baseline: 1 epoch\n" in caplog.text

"""Label-free denoising in closed form: the optimum, from one pass, in a run like any other."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import interrupt, metric_rows
from scripts import load_script, run_script
from small import draw_people, small_config, small_words
from two_processes import run_processes

from reid.config import load_config
from reid.data import plain_loader
from reid.denoise import (
    collect_denoise_loss,
    denoisers_by_layer,
    detach_denoisers,
    gather_statistics,
    load_statistics,
    loss_floor,
    solve_denoisers,
)
from reid.engine.build import build_run
from reid.engine.closed_form import gather, weights_key
from reid.engine.controls import NO_DENOISERS, RANDOM_DENOISERS, UNTOUCHED, outcomes, run_all
from reid.engine.distributed import World
from reid.engine.dry_run import dry_run
from reid.engine.overfit import overfit
from reid.engine.train import TrainingRun
from reid.models import DenoiseSpec, load_checkpoint
from reid.utils import InputError

save = TrainingRun._save
TOOL = Path(__file__).parents[2] / "tools" / "train.py"
SOLVED = ("DENOISE.CLOSED_FORM", "True")
# So strong that a denoiser has something to do.
NOISY = ("DENOISE.BETA_START", "0.05", "DENOISE.BETA_END", "0.3", "DENOISE.TIMESTEPS", "8")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def finished(people, tmp_path_factory):
    """The folder of a finished run, and the run."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    run = build_run(small_config(people, folder, *SOLVED, *NOISY))
    run.run()
    return folder, run


def images_of(run):
    """All training images as a test sees them."""
    return torch.cat([batch.images for batch in run.images])


def assert_same_denoisers(model, other):
    others = denoisers_by_layer(other)
    for name, denoiser in denoisers_by_layer(model).items():
        torch.testing.assert_close(denoiser.weight, others[name].weight, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(denoiser.bias, others[name].bias, rtol=1e-4, atol=1e-5)


def test_a_run_leaves_the_solved_denoisers_and_their_statistics(finished):
    folder, run = finished
    assert {path.name for path in folder.iterdir()} == {
        *("baseline.pth", "config.yml", "curves.png", "denoised.pth", "fused.pth", "metrics.jsonl"),
        *("run.json", "statistics.pt", "tensorboard"),
    }
    baseline, _ = load_checkpoint(folder / "baseline.pth")
    denoised, header = load_checkpoint(folder / "denoised.pth")
    assert (header.training.stage, header.training.epochs) == ("label_free", 1)
    plain = baseline.state_dict()
    assert all(torch.equal(value, denoised.state_dict()[key]) for key, value in plain.items())
    images = images_of(run)
    assert len(images) == 32
    assert_same_denoisers(denoised, solve_denoisers(run.denoise.attach(baseline), images))


def test_the_epoch_has_a_row_and_a_line(people, tmp_path, caplog):
    run = build_run(small_config(people, tmp_path / "run", *SOLVED, *NOISY, "SOLVER.MAX_EPOCHS", "1"))
    with caplog.at_level("INFO"):
        run.run()
    (row,) = [row for row in metric_rows(tmp_path / "run") if row.get("phase") == "closed_form"]
    assert {"stage", "phase", "epoch", "loss", "images_per_s", "seconds"} == set(row)
    assert (row["stage"], row["epoch"]) == ("label_free", 2)
    model, _ = load_checkpoint(tmp_path / "run" / "denoised.pth")
    floors = loss_floor(model, load_statistics(tmp_path / "run" / "statistics.pt"))
    assert row["loss"] == pytest.approx(np.mean(list(floors.values())))
    # A class token and 16 patches of an image, in each of 8 layers.
    line = r"closed form: 32 images, 4352 vectors over 8 layers, \d+\.\d s, mean loss floor 0\.\d{4}\b"
    assert re.search(line, caplog.text)
    assert "epoch 2/2 closed_form loss 0." in caplog.text


@pytest.mark.slow
def test_gradients_come_near_the_floor_and_not_below_it(finished, people, tmp_path):
    """Of the same images, all in one batch and not augmented, for long."""
    folder, solved = finished
    words = [
        *NOISY,
        "DENOISE.BASE_LR",
        "5e-2",
        "MODEL.PRETRAIN_PATH",
        str(folder / "baseline.pth"),
        "SOLVER.MAX_EPOCHS",
        "0",
    ]
    words += ["SOLVER.IMS_PER_BATCH", "32", "INPUT.PROB", "0", "INPUT.PADDING", "0", "INPUT.RE_PROB", "0"]
    words += ["SOLVER.EVAL_PERIOD", "1000", "SOLVER.CHECKPOINT_PERIOD", "1000", "DENOISE.MAX_EPOCHS", "120"]
    build_run(small_config(people, tmp_path / "run", *words, "SOLVER.TENSORBOARD", "False")).run()
    model, _ = load_checkpoint(tmp_path / "run" / "denoised.pth")
    floors = loss_floor(model, load_statistics(folder / "statistics.pt", of=weights_key(model)))
    with collect_denoise_loss(model, plain=True) as losses, torch.no_grad():
        model.embed(images_of(solved))
    assert losses.keys() == floors.keys()
    for name, loss in losses.items():
        assert loss.item() > floors[name] - 1e-5
        assert loss.item() < floors[name] + 0.2 * (1 - floors[name])
    assert max(floors.values()) < 0.9


def test_the_statistics_serve_another_schedule_without_an_image(finished):
    folder, run = finished
    baseline, _ = load_checkpoint(folder / "baseline.pth")
    statistics = load_statistics(folder / "statistics.pt", of=weights_key(baseline))
    other = DenoiseSpec(steps=2, timesteps=100, t_rule="spread", strength=0.5).attach(baseline)
    assert_same_denoisers(solve_denoisers(other, statistics), solve_denoisers(other, images_of(run)))


def test_the_statistics_are_not_those_of_other_weights(finished):
    folder, _ = finished
    keys = {name: weights_key(load_checkpoint(folder / name)[0]) for name in ("baseline.pth", "denoised.pth")}
    assert keys["baseline.pth"] == keys["denoised.pth"]
    fused = weights_key(load_checkpoint(folder / "fused.pth")[0])
    with pytest.raises(ValueError, match="statistics of other weights"):
        load_statistics(folder / "statistics.pt", of=fused)


def test_the_key_is_of_what_embeds(finished):
    model, _ = load_checkpoint(finished[0] / "denoised.pth")
    key = weights_key(model)
    assert weights_key(detach_denoisers(model)) == key
    model.classifier.weight.data += 1
    for denoiser in denoisers_by_layer(model).values():
        denoiser.weight.data += 1
    assert weights_key(model) == key
    model.backbone.blocks[0].mlp.fc1.bias.data[0] += 1
    assert weights_key(model) != key


def test_the_parts_of_several_processes_are_merged_to_the_whole(finished):
    """Of three processes one has no image."""
    _, run = finished
    model = run.denoise.attach(run.model)
    records = run.images.dataset.records
    whole = gather(model, run.images, run.device)
    expected = gather_statistics(model, images_of(run))
    parts = []
    for rows in (np.arange(0, 7), np.arange(7, 32), np.arange(0)):
        loader = plain_loader(records.select(rows), model.preprocessing, 8, 0)
        parts.append({} if not len(rows) else gather(model, loader, run.device))

    class Three(World):
        def gather_objects(self, value):
            name = next(names)
            return [part.get(name) for part in parts]

    names = iter(whole)
    empty = plain_loader(records.select(np.arange(0)), model.preprocessing, 8, 0)
    merged = gather(model, empty, run.device, world=Three(2, 3))
    for found in (whole, merged):
        assert list(found) == list(expected)
        for name, moments in found.items():
            assert moments.count == expected[name].count
            torch.testing.assert_close(moments.mean, expected[name].mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(moments.scatter, expected[name].scatter, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_run_interrupted_before_its_pass_ends_with_the_same_bits(finished, people, tmp_path):
    cfg = small_config(people, tmp_path / "cut", *SOLVED, *NOISY, "SOLVER.CHECKPOINT_PERIOD", "1")
    interrupt(cfg, 2)
    # What a run that was killed while it wrote leaves.
    (tmp_path / "cut" / ".statistics-a1b2c3d4.pt").write_bytes(b"half")
    (tmp_path / "cut" / "..statistics-a1b2c3d4.pt.part").write_bytes(b"half")
    build_run(cfg).run(resume=True)
    assert_same_files(finished[0], tmp_path / "cut")


@pytest.mark.slow
def test_a_run_interrupted_behind_its_pass_does_not_pass_again(finished, people, tmp_path, monkeypatch):
    cfg = small_config(people, tmp_path / "cut", *SOLVED, *NOISY, "SOLVER.CHECKPOINT_PERIOD", "1")
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "_save", stop_after_the_pass)
        with pytest.raises(KeyboardInterrupt):
            build_run(cfg).run()
    monkeypatch.setattr("reid.engine.closed_form.gather", None)
    build_run(cfg).run(resume=True)
    assert_same_files(finished[0], tmp_path / "cut")


def stop_after_the_pass(run, model, stage):
    if stage.denoises:
        raise KeyboardInterrupt
    save(run, model, stage)


def assert_same_files(first, second):
    assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}
    a, b = (load_checkpoint(folder / "denoised.pth")[0].state_dict() for folder in (first, second))
    assert all(torch.equal(value, b[key]) for key, value in a.items())
    one, other = (load_statistics(folder / "statistics.pt") for folder in (first, second))
    assert all(torch.equal(moments.scatter, other[name].scatter) for name, moments in one.items())


def test_a_new_run_replaces_the_statistics_of_one_that_failed(people, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "statistics.pt").write_bytes(b"of another run")
    build_run(small_config(people, tmp_path / "run", "SOLVER.MAX_EPOCHS", "1", "DENOISE.MODE", "none")).run()
    assert not (tmp_path / "run" / "statistics.pt").exists()


@pytest.mark.slow
def test_controls_train_nothing_without_denoisers(people, tmp_path):
    run = build_run(small_config(people, tmp_path / "run", *SOLVED, *NOISY))
    run_all(run, controls=True, resume=False)
    controls = tmp_path / "run" / "controls"
    assert [path.name for path in controls.iterdir()] == ["random_denoisers"]
    assert not (controls / "random_denoisers" / "statistics.pt").exists()
    names = [outcome.name for outcome in outcomes(run, controls=True)]
    assert names == [UNTOUCHED, NO_DENOISERS, RANDOM_DENOISERS, "+ DenoiseRep fused"]


def test_the_final_feature_is_solved_too(people, tmp_path):
    words = (*SOLVED, *NOISY, "DENOISE.TARGETS", "feature", "SOLVER.MAX_EPOCHS", "1")
    run = build_run(small_config(people, tmp_path / "run", *words))
    run.run()
    baseline, _ = load_checkpoint(tmp_path / "run" / "baseline.pth")
    denoised, _ = load_checkpoint(tmp_path / "run" / "denoised.pth")
    assert_same_denoisers(denoised, solve_denoisers(run.denoise.attach(baseline), images_of(run)))
    assert not (tmp_path / "run" / "fused.pth").exists()


def test_the_pass_is_told_the_cameras_that_the_model_knows(people, tmp_path):
    words = (*SOLVED, *NOISY, "MODEL.SIE_CAMERA", "True", "SOLVER.MAX_EPOCHS", "1")
    run = build_run(small_config(people, tmp_path / "run", *words))
    run.run()
    baseline, _ = load_checkpoint(tmp_path / "run" / "baseline.pth")
    attached = run.denoise.attach(baseline)
    found = load_statistics(tmp_path / "run" / "statistics.pt", of=weights_key(attached))
    known = gather_statistics(attached, [(b.images, b.camids, b.viewids) for b in run.images])
    unknown = gather_statistics(attached, [b.images for b in run.images])
    for name, moments in found.items():
        torch.testing.assert_close(moments.mean, known[name].mean, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(moments.mean, unknown[name].mean, rtol=1e-3, atol=1e-4)


def test_blocks_are_not_computed_twice(people, tmp_path):
    words = (*SOLVED, *NOISY, "SOLVER.GRAD_CHECKPOINTING", "True", "SOLVER.MAX_EPOCHS", "1")
    build_run(small_config(people, tmp_path / "run", *words)).run()
    assert (tmp_path / "run" / "fused.pth").is_file()


def test_features_that_are_not_finite_are_one_line(people, tmp_path):
    run = build_run(small_config(people, tmp_path / "run", *SOLVED))
    torch.nn.init.constant_(run.model.backbone.blocks[0].norm1.weight, torch.nan)
    run = replace(run, stages=run.stages[1:], history=run.history[1:])
    with pytest.raises(InputError, match=r"statistics of .*: moments must be finite; .* start from weights"):
        run.run()
    with pytest.raises(InputError, match="moments must be finite"):
        dry_run(replace(run, folder=replace_folder(run, tmp_path / "dry")))


def replace_folder(run, path):
    return type(run.folder)(path)


def test_there_is_nothing_to_overfit_but_the_baseline(people, tmp_path):
    run = build_run(small_config(people, tmp_path / "run", *SOLVED))
    assert [attempt.name for attempt in overfit(run, 1).attempts] == ["baseline"]
    with pytest.raises(InputError, match=r"takes no steps to overfit with; set DENOISE\.CLOSED_FORM False"):
        overfit(replace(run, stages=run.stages[1:]), 1)


@pytest.mark.slow
def test_a_dry_run_counts_the_pass_the_solving_and_the_statistics(people, tmp_path):
    """One pass over 32 images, 12 at a time; of each clock's look a second."""
    ticks = iter(range(10**6))
    run = build_run(small_config(people, tmp_path / "run", *SOLVED, *NOISY, "TEST.IMS_PER_BATCH", "12"))
    estimate = dry_run(run, lambda: float(next(ticks)))
    assert [(cost.stage, cost.name, cost.passes, cost.seconds) for cost in estimate.phases] == [
        ("baseline", "baseline", (2, 2), 12.0),
        ("label_free", "closed_form", (3,), 9.0),
        ("label_free", "solving", (1,), 1.0),
    ]
    assert estimate.fused_difference < 1e-4
    build_run(small_config(people, tmp_path / "run", *SOLVED, *NOISY)).run()
    files = ("baseline.pth", "denoised.pth", "fused.pth", "statistics.pt")
    kept = sum((tmp_path / "run" / name).stat().st_size for name in files)
    assert kept == pytest.approx(estimate.disk.kept, rel=0.03)


def test_a_rehearsal_samples_as_the_greater_part_of_the_pass_does(finished, monkeypatch):
    """Where the vectors of all images are more than twice those that are all taken, some stand for all."""
    monkeypatch.setattr("reid.denoise.recorder.least_vectors", lambda d: 60 if d < 200 else 10**6)
    _, run = finished
    trainer = run.trainer(1)
    trainer.epoch = 0
    list(trainer.rehearse(list(run.images) * 2))
    assert len(run.images) == 1
    kinds = {len(recorder.shift): recorder.per_image for recorder in trainer.rehearsed.values()}
    assert {d: per_image is None for d, per_image in kinds.items() if d} in ({}, {128: False, 512: True})


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (
            ["DENOISE.LOSS", "l1"],
            "DENOISE.LOSS must be l2 where label-free denoisers are solved in closed form, got 'l1'; set"
            " DENOISE.CLOSED_FORM False",
        ),
        (
            ["DENOISE.TOKEN_SHARE", "0.5"],
            "DENOISE.TOKEN_SHARE must be 1 where .* got 0.5; set DENOISE.CLOSED",
        ),
    ],
)
def test_another_loss_than_that_of_the_closed_form_is_refused(words, fault):
    with pytest.raises(InputError, match=fault):
        load_config(None, ["DENOISE.MODE", "label_free", *words])
    for mode, solved in (("label_free", "False"), ("joint", "True"), ("none", "True")):
        load_config(None, ["DENOISE.MODE", mode, "DENOISE.CLOSED_FORM", solved, *words])


@pytest.mark.slow
def test_two_processes_solve_what_one_solves(people, tmp_path):
    baseline = ["SOLVER.MAX_EPOCHS", "1", "DENOISE.MODE", "none"]
    build_run(small_config(people, tmp_path / "baseline", *baseline)).run()
    words = ["SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(tmp_path / "baseline" / "baseline.pth")]
    build_run(small_config(people, tmp_path / "one", *words, *SOLVED, *NOISY)).run()
    both = run_processes(
        TOOL, "--config", "demo.yml", *small_words(people, tmp_path / "two", *words, *SOLVED, *NOISY)
    )
    assert [code for code, _, _ in both] == [0, 0], both[0][2] + both[1][2]
    one, two = (load_statistics(tmp_path / name / "statistics.pt") for name in ("one", "two"))
    for name, moments in one.items():
        assert moments.count == two[name].count
        torch.testing.assert_close(moments.mean, two[name].mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(moments.scatter, two[name].scatter, rtol=1e-4, atol=1e-4)
    models = [load_checkpoint(tmp_path / name / "denoised.pth")[0] for name in ("one", "two")]
    assert_same_denoisers(*models)
    rows = [json.loads((tmp_path / n / "metrics.jsonl").read_text().splitlines()[0]) for n in ("one", "two")]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)


@pytest.mark.parametrize("option", [(), ("--dry-run",)])
def test_a_noise_below_the_rounding_of_the_features_ends_in_a_line(
    people, tmp_path, monkeypatch, capsys, option
):
    words = (*SOLVED, "SOLVER.MAX_EPOCHS", "1", "DENOISE.BETA_START", "1e-8", "DENOISE.T_RULE", "1")
    words = small_words(people, tmp_path / "run", *words)
    module = load_script(monkeypatch, "tools/train.py")
    assert run_script(module, monkeypatch, "--config", "demo.yml", *words, *option) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "must be well above the rounding of its covariance" in line
    assert "DENOISE.BETA_START" in line


@pytest.mark.slow
def test_two_processes_end_in_that_line_too(people, tmp_path):
    words = (*SOLVED, "SOLVER.MAX_EPOCHS", "1", "DENOISE.BETA_START", "1e-8", "DENOISE.T_RULE", "1")
    both = run_processes(TOOL, "--config", "demo.yml", *small_words(people, tmp_path / "run", *words))
    assert {code for code, _, _ in both} == {2}
    errors = "".join(error for _, _, error in both)
    assert "must be well above the rounding of its covariance" in errors
    assert "Traceback" not in errors

"""Controls from the same start, at the same rates, with random denoisers of the trained ones' norms."""

import json
import shutil

import pytest
import torch
from runs import metric_rows
from small import draw_people, small_config

from reid.denoise import denoisers_by_layer, detach_denoisers
from reid.engine.build import build_run, build_seeds
from reid.engine.controls import NO_DENOISERS, RANDOM_DENOISERS, UNTOUCHED, outcomes, run_all, start_of
from reid.engine.experiment import run_experiment
from reid.models import load_checkpoint
from reid.utils import InputError

ALTERNATING = ("DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1", "DENOISE.BACKBONE_LR", "1e-3")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def controlled(people, folder, *words):
    run = build_run(small_config(people, folder, *words))
    run_all(run, controls=True, resume=False)
    return run


@pytest.fixture(scope="module")
def alternating(people, tmp_path_factory):
    return controlled(people, tmp_path_factory.mktemp("run") / "alternating", *ALTERNATING)


@pytest.fixture(scope="module")
def label_free(people, tmp_path_factory):
    return controlled(people, tmp_path_factory.mktemp("run") / "label_free")


def state_of(path):
    return load_checkpoint(path)[0].state_dict()


def test_the_backbone_has_the_same_epochs_at_the_same_rates_in_every_run(alternating):
    folder = alternating.folder.path
    runs = [folder, folder / "controls" / "no_denoisers", folder / "controls" / "random_denoisers"]
    epochs = [
        [(row["epoch"], row["lr"]) for row in metric_rows(run) if row.get("phase") == "backbone"]
        for run in runs
    ]
    assert epochs[0] == epochs[1] == epochs[2]
    assert [epoch for epoch, _ in epochs[0]] == [4]


def test_the_random_denoisers_have_the_norms_of_the_trained_and_stay_as_drawn(alternating):
    folder = alternating.folder.path
    trained, random = (
        load_checkpoint(path / "denoised.pth")[0]
        for path in (folder, folder / "controls" / "random_denoisers")
    )
    others = denoisers_by_layer(random)
    for name, denoiser in denoisers_by_layer(trained).items():
        norms = [d.weight.norm().item() for d in (denoiser, others[name])]
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
        assert norms[0] > 0
        cosine = torch.cosine_similarity(denoiser.weight.flatten(), others[name].weight.flatten(), dim=0)
        assert abs(cosine) < 0.5
    start = start_of(alternating).state_dict()
    moved = detach_denoisers(random).state_dict()
    assert not torch.equal(
        start["backbone.blocks.0.mlp.fc1.weight"], moved["backbone.blocks.0.mlp.fc1.weight"]
    )


def test_the_start_is_the_end_of_the_baseline_also_in_a_new_process(alternating, people):
    words = (people, alternating.folder.path, *ALTERNATING)
    baseline = state_of(alternating.folder.path / "baseline.pth")
    for run in (alternating, build_run(small_config(*words))):
        start = start_of(run).state_dict()
        assert all(torch.equal(value, baseline[key]) for key, value in start.items())


@pytest.mark.slow
def test_without_labels_nothing_is_trained_without_denoisers(label_free):
    controls = label_free.folder.path / "controls"
    assert [path.name for path in controls.iterdir()] == ["random_denoisers"]
    start = state_of(label_free.folder.path / "baseline.pth")
    found = detach_denoisers(load_checkpoint(controls / "random_denoisers" / "denoised.pth")[0]).state_dict()
    assert all(torch.equal(value, found[key]) for key, value in start.items())
    names = [outcome.name for outcome in outcomes(label_free, controls=True)]
    assert names == [UNTOUCHED, NO_DENOISERS, RANDOM_DENOISERS, "+ DenoiseRep fused"]
    header = load_checkpoint(controls / "random_denoisers" / "denoised.pth")[1]
    assert header.training.stage == "baseline"  # its weights have seen no more


@pytest.mark.slow
def test_controls_are_added_to_a_finished_run_and_what_is_there_is_kept(people, tmp_path):
    cfg = small_config(people, tmp_path / "run", *ALTERNATING)
    build_run(cfg).run()
    before = (tmp_path / "run" / "denoised.pth").read_bytes()
    with pytest.raises(InputError, match="pass --resume to add its controls"):
        run_all(build_run(cfg), controls=True, resume=False)
    run_experiment([build_run(cfg)], controls=True, resume=True)
    assert (tmp_path / "run" / "denoised.pth").read_bytes() == before
    plain = tmp_path / "run" / "controls" / "no_denoisers" / "plain.pth"
    first = state_of(plain)
    shutil.rmtree(plain.parent)
    run_experiment([build_run(cfg)], controls=True, resume=True)
    assert all(torch.equal(value, first[key]) for key, value in state_of(plain).items())
    other = build_run(small_config(people, tmp_path / "run", *ALTERNATING, "SOLVER.CLIP_NORM", "1"))
    with pytest.raises(InputError, match=r"another configuration; changed: SOLVER\.CLIP_NORM: 1"):
        run_all(other, controls=True, resume=True)


@pytest.mark.slow
def test_the_table_says_what_denoising_changed(people, tmp_path):
    cfg = small_config(people, tmp_path / "run", *ALTERNATING)
    report = run_experiment([build_run(cfg)], controls=True, resume=False)
    (models,) = report.figures["seeds"].values()
    assert list(models) == [UNTOUCHED, NO_DENOISERS, RANDOM_DENOISERS, "+ DenoiseRep fused"]
    assert models[UNTOUCHED]["mAP_gain_interval"] == [0, 0]
    assert models[UNTOUCHED]["cosine_to_untouched"] == pytest.approx(1, abs=1e-5)
    assert models[NO_DENOISERS]["fusion_change"] is None
    assert models[NO_DENOISERS]["total_change"] > 1e-6
    assert models[RANDOM_DENOISERS]["fusion_change"] > 0
    gain = models["+ DenoiseRep fused"]["mAP"] - models[UNTOUCHED]["mAP"]
    assert models["+ DenoiseRep fused"]["mAP_gain"] == pytest.approx(gain)
    over = models["+ DenoiseRep fused"]["mAP"] - models[NO_DENOISERS]["mAP"]
    assert models["+ DenoiseRep fused"]["mAP_over_schedule"] == pytest.approx(over)
    assert models[NO_DENOISERS]["mAP_over_schedule_interval"] == [0, 0]
    assert models[UNTOUCHED]["mAP_over_schedule"] is None
    for line in ("| untouched", "| same schedule, no denoisers", "| + DenoiseRep fused", "protocol: drawn"):
        assert f"\n{line}" in report.text
    written = json.loads((tmp_path / "run" / "effects.json").read_text())
    assert written["market1501"]["seeds"] == report.figures["seeds"]


@pytest.mark.slow
def test_seeds_differ_in_everything_random_and_have_folders_of_their_own(people, tmp_path):
    cfg = small_config(people, tmp_path / "run", "SOLVER.SEED", "7")
    report = run_experiment(build_seeds(cfg, 2), controls=False, resume=False)
    found = report.figures["seeds"]
    assert list(found) == ["7", "8"]
    assert list(found["7"]) == [UNTOUCHED, "+ DenoiseRep fused"]
    values = [models[UNTOUCHED]["mAP"] for models in found.values()]
    assert values[0] != values[1]
    assert report.figures["models"][UNTOUCHED]["mAP"] == {
        "mean": pytest.approx(sum(values) / 2),
        "std": pytest.approx(abs(values[0] - values[1]) / 2**0.5),
    }
    assert "over seeds 7, 8" in report.text
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"effects.json", "seed_7", "seed_8"}
    assert json.loads((tmp_path / "run" / "effects.json").read_text())["market1501"] == report.figures
    alone = small_config(people, tmp_path / "alone", "SOLVER.SEED", "8")
    build_run(alone).run()
    first, second = (
        state_of(path / "baseline.pth") for path in (tmp_path / "run" / "seed_8", tmp_path / "alone")
    )
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    again = run_experiment(build_seeds(cfg, 3, resume=True), controls=False, resume=True)
    assert {seed: again.figures["seeds"][seed] for seed in ("7", "8")} == found


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["alternating", "joint"])
def test_other_modes_and_the_final_feature_have_controls_too(people, tmp_path, mode):
    words = ("DENOISE.TARGETS", "feature", "DENOISE.MODE", mode, "SOLVER.MAX_EPOCHS", "1")
    report = run_experiment(
        [build_run(small_config(people, tmp_path, *words, "DENOISE.PERIOD", "1"))],
        controls=True,
        resume=False,
    )
    (models,) = report.figures["seeds"].values()
    assert list(models)[-1] == "+ DenoiseRep-"
    assert not list(tmp_path.rglob("fused.pth"))


def test_a_run_without_denoising_or_test_images_has_no_controls(people, tmp_path):
    with pytest.raises(InputError, match=r"DENOISE\.MODE is none"):
        run_all(
            build_run(small_config(people, tmp_path / "a", "DENOISE.MODE", "none")),
            controls=True,
            resume=False,
        )
    images = sorted((people / "bounding_box_train").glob("*.jpg"))
    rows = [f"{path},{i // 4},{i % 2},train" for i, path in enumerate(images)]
    (tmp_path / "list.csv").write_text("\n".join(["path,pid,camid,split", *rows]))
    listed = small_config(tmp_path, tmp_path / "b", "DATASETS.NAMES", "list.csv")
    with pytest.raises(InputError, match="query and gallery images, there are none"):
        run_experiment([build_run(listed)], controls=True, resume=False)


def copied(run, tmp_path):
    """The finished run with its controls in a folder of its own, and the words that go on with it."""
    shutil.copytree(run.folder.path, tmp_path / "run")
    config = (tmp_path / "run" / "config.yml").read_text()
    for path in (tmp_path / "run").rglob("config.yml"):
        path.write_text(config.replace(str(run.folder.path), str(tmp_path / "run")))
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param("baseline.pth", "denoised.pth", marks=pytest.mark.slow),
        ("baseline.pth", "controls/random_denoisers/denoised.pth"),
        ("denoised.pth", "controls/no_denoisers/plain.pth"),
    ],
)
def test_another_model_in_the_place_of_one_is_refused(alternating, people, tmp_path, source, target):
    folder = copied(alternating, tmp_path)
    shutil.copy(folder / source, folder / target)
    run = build_run(small_config(people, folder, *ALTERNATING))
    with pytest.raises(InputError, match="must be the checkpoint of this run with its denoisers"):
        run_experiment([run], controls=True, resume=True)


@pytest.mark.slow
def test_another_start_is_refused(people, tmp_path):
    start = tmp_path / "start.pth"
    build_run(small_config(people, tmp_path / "a", "DENOISE.MODE", "none")).run()
    shutil.copy(tmp_path / "a" / "baseline.pth", start)
    words = ("SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(start))
    cfg = small_config(people, tmp_path / "run", *words)
    build_run(cfg).run()
    build_run(small_config(people, tmp_path / "b", "DENOISE.MODE", "none", "SOLVER.SEED", "3")).run()
    shutil.copy(tmp_path / "b" / "baseline.pth", start)
    with pytest.raises(InputError, match="began with other weights than there are now; bring them back"):
        run_all(build_run(cfg), controls=True, resume=True)


@pytest.mark.slow
def test_other_images_are_refused_and_controls_of_an_earlier_run_too(alternating, people, tmp_path):
    folder = copied(alternating, tmp_path)
    fewer = tmp_path / "fewer"
    shutil.copytree(people, fewer)
    sorted((fewer / "bounding_box_train").glob("*.jpg"))[0].unlink()
    for path in folder.rglob("config.yml"):
        path.write_text(path.read_text().replace(str(people), str(fewer)))
    run = build_run(small_config(fewer, folder, *ALTERNATING))
    with pytest.raises(InputError, match="began with other images than there are now"):
        run_all(run, controls=True, resume=True)
    again = copied(alternating, tmp_path / "again")
    for name in ("baseline.pth", "denoised.pth", "fused.pth"):
        (again / name).unlink()
    facts = again / "controls" / "random_denoisers" / "run.json"
    facts.write_text(facts.read_text().replace('"trained denoisers": "', '"trained denoisers": "x'))
    with pytest.raises(InputError, match="began with other trained denoisers"):
        run_all(build_run(small_config(people, again, *ALTERNATING)), controls=True, resume=True)


def test_what_stands_in_the_way_of_controls_and_seeds_is_told_before_anything_is_trained(people, tmp_path):
    cfg = small_config(people, tmp_path / "run", *ALTERNATING)
    (tmp_path / "run" / "controls" / "random_denoisers").mkdir(parents=True)
    (tmp_path / "run" / "controls" / "random_denoisers" / "denoised.pth").touch()
    with pytest.raises(InputError, match="random_denoisers holds a finished run"):
        run_all(build_run(cfg), controls=True, resume=False)
    (tmp_path / "run" / "seed_1235").mkdir()
    (tmp_path / "run" / "seed_1235" / "baseline.pth").touch()
    with pytest.raises(InputError, match="seed_1235 holds a finished run"):
        next(build_seeds(cfg, 2))
    assert not (tmp_path / "run" / "denoised.pth").exists()


def test_a_configuration_that_cannot_be_read_is_one_line(alternating, people, tmp_path):
    folder = copied(alternating, tmp_path)
    (folder / "config.yml").write_bytes(b"MODEL: \xff")
    with pytest.raises(InputError, match=r"config\.yml must be the YAML of a finished run"):
        run_all(build_run(small_config(people, folder, *ALTERNATING)), controls=True, resume=True)

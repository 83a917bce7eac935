"""Whole runs at toy size: training, its folder, resuming, and the comparison."""

import json

import pytest
import torch
from small import draw_people, small_config

from reid.engine import compare
from reid.engine.build import build_run
from reid.engine.illustrate import illustrate
from reid.engine.load import load_baseline, load_for_test
from reid.engine.trainer import Trainer
from reid.models import load_checkpoint
from reid.utils import InputError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def finished(people, tmp_path_factory):
    """A finished run: its configuration, its folder, its results."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    cfg = small_config(people, folder)
    return cfg, folder, build_run(cfg).run()


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
        "denoised.pth",
        "fused.pth",
        "metrics.jsonl",
        "run.json",
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
    comparison = compare(model, baseline, run.evaluator, rounds=1)
    assert list(comparison.rows) == ["baseline", "+ DenoiseRep unfused", "+ DenoiseRep fused"]
    assert comparison.fused_difference < 1e-4
    assert 0.9 < comparison.baseline_cosine[1] <= 1.0001
    assert len(comparison.weight_changes) == 8
    rows = comparison.rows
    assert rows["+ DenoiseRep fused"].num_parameters == rows["baseline"].num_parameters
    assert rows["+ DenoiseRep unfused"].num_parameters > rows["baseline"].num_parameters
    json.dumps(comparison.as_dict(), allow_nan=False)
    assert "protocol: drawn people" in comparison.as_text()
    pictures = illustrate(comparison, run.evaluator, folder / "pictures")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_the_fused_checkpoint_has_the_plain_keys(finished):
    found = states(finished[1])
    assert list(found["fused.pth"]) == list(found["baseline.pth"])


def test_the_same_seed_gives_the_same_bits(finished, people, tmp_path):
    build_run(small_config(people, tmp_path / "again")).run()
    assert_same_weights(finished[1], tmp_path / "again")


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_a_resumed_run_ends_with_the_same_bits(finished, people, tmp_path, monkeypatch, epochs_before):
    """Interrupted in the baseline stage, or in the denoising stage."""
    cfg = small_config(people, tmp_path / "cut", "SOLVER.CHECKPOINT_PERIOD", "1")
    original, count = Trainer._train_epoch, []

    def interrupted(self, *args):
        count.append(1)
        if len(count) > epochs_before:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(Trainer, "_train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_run(cfg).run()
    monkeypatch.undo()
    with pytest.raises(InputError, match="holds an unfinished run; pass --resume"):
        build_run(cfg).run()
    other = small_config(people, tmp_path / "cut", "SOLVER.CHECKPOINT_PERIOD", "1", "SOLVER.SEED", "7")
    with pytest.raises(InputError, match="another configuration; changed: SEED: 7"):
        build_run(other).run(resume=True)
    build_run(cfg).run(resume=True)
    assert_same_weights(finished[1], tmp_path / "cut")
    rows = [json.loads(line) for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if "loss" in row] == [1, 2, 3, 4]


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


def test_convolutional_networks_go_the_whole_way(people, tmp_path):
    words = ("MODEL.NAME", "resnet10", "DENOISE.TARGETS", "['conv']", "SOLVER.MAX_EPOCHS", "1")
    cfg = small_config(people, tmp_path / "run", *words)
    run = build_run(cfg)
    run.run()
    path = tmp_path / "run" / "denoised.pth"
    model, _ = load_for_test(cfg, path)
    baseline, _ = load_baseline(cfg, model, path, None)
    assert compare(model, baseline, run.evaluator, rounds=1).fused_difference < 1e-4


def test_a_fused_checkpoint_has_a_row_of_its_own(finished):
    cfg, folder, _ = finished
    model, _ = load_for_test(cfg, folder / "fused.pth")
    evaluator = build_run(cfg).evaluator
    assert list(compare(model, None, evaluator, 1, is_fused=True).rows) == ["+ DenoiseRep fused"]
    assert list(compare(model, model, evaluator, 1, is_fused=True).rows) == ["baseline", "+ DenoiseRep fused"]


def test_a_finished_run_is_not_resumed(finished):
    with pytest.raises(InputError, match="holds a finished run: nothing to resume"):
        build_run(finished[0]).run(resume=True)


def test_denoising_a_trained_model_needs_no_labels(finished, people, tmp_path):
    """From a list of paths alone, without identities."""
    images = sorted((people / "bounding_box_train").glob("*.jpg"))
    rows = "".join(f"{path},0,train\n" for path in images)
    (tmp_path / "list.csv").write_text(f"path,camid,split\n{rows}")
    baseline = finished[1] / "baseline.pth"
    words = ("DATASETS.NAMES", "list.csv", "SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(baseline))
    cfg = small_config(tmp_path, tmp_path / "run", *words)
    assert build_run(cfg).run() == {}
    found = states(tmp_path / "run")
    for key, value in states(finished[1])["baseline.pth"].items():
        assert torch.equal(value, found["denoised.pth"][key])


def test_a_diverging_loss_stops_with_epoch_iteration_and_parts(people, tmp_path):
    words = ("SOLVER.BASE_LR", "1e30", "SOLVER.OPTIMIZER_NAME", "SGD", "DENOISE.MODE", "none")
    run = build_run(small_config(people, tmp_path / "run", *words))
    with pytest.raises(InputError, match=r"loss is not finite in epoch \d, iteration \d: loss nan, id nan"):
        run.run()
    assert not list((tmp_path / "run").glob("*.pth"))


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
    with pytest.raises(InputError, match="a batch needs 4 identities, the training images show 1"):
        build_run(small_config(root, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_clear_the_weights_it_starts_from(finished, people):
    folder = finished[1]
    words = ("SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(folder / "baseline.pth"))
    with pytest.raises(InputError, match="lies in OUTPUT_DIR"):
        build_run(small_config(people, folder, *words))
    assert (folder / "baseline.pth").exists()

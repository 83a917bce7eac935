"""The chain of trainings from checkpoint to checkpoint, and in the protocol."""

import pytest
import torch
from small import draw_people, small_config

from reid.engine.build import build_run
from reid.models import ModelSpec, ReIDModel, load_checkpoint


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run on drawn people, baseline and denoisers."""
    root = draw_people(tmp_path_factory.mktemp("data") / "people")
    cfg = small_config(root, tmp_path_factory.mktemp("run") / "first", "SOLVER.MAX_EPOCHS", "1")
    build_run(cfg).run()
    return root, cfg.OUTPUT_DIR


def list_of(root, folder):
    """The same drawings as a list of another name; queries and gallery too, so that there is a protocol."""
    folder.mkdir()
    rows = [
        f"{path},{int(path.name[:4])},{split}"
        for split, name in (("query", "query"), ("gallery", "bounding_box_test"))
        for path in sorted((root / name).glob("00*.jpg"))
    ]
    train = [f"{path},,train" for path in sorted((root / "bounding_box_train").glob("*.jpg"))]
    (folder / "mine.csv").write_text("\n".join(["path,pid,split", *rows, *train, ""]))
    return folder


def chain(path):
    training, found = load_checkpoint(path)[1].training, []
    while training:
        found.insert(0, (training.dataset, training.stage, training.epochs))
        training = training.before
    return found


@pytest.mark.slow
def test_each_checkpoint_keeps_the_chain_before_it(first, tmp_path):
    root, output = first
    drawn = "drawn people in Market-1501's layout"
    assert chain(f"{output}/baseline.pth") == [(drawn, "baseline", 1)]
    assert chain(f"{output}/fused.pth") == [(drawn, "baseline", 1), (drawn, "label_free", 2)]
    data = list_of(root, tmp_path / "data")
    words = ("DATASETS.NAMES", "mine.csv", "SOLVER.MAX_EPOCHS", "0")
    run = build_run(
        small_config(data, tmp_path / "run", *words, "MODEL.PRETRAIN_PATH", f"{output}/baseline.pth")
    )
    run.run()
    assert chain(tmp_path / "run" / "denoised.pth") == [(drawn, "baseline", 1), ("mine", "label_free", 2)]
    expected = f"trained on {drawn} train (32 images), denoised on its train split (32 images), "
    assert run.evaluators["mine.csv"].protocol(run.model).describe().startswith(f"mine, {expected}")


def test_weights_without_a_header_come_from_unknown_data(first, tmp_path):
    root, _ = first
    torch.save(ReIDModel(ModelSpec("vit_micro", (32, 32), 8)).state_dict(), tmp_path / "plain.pth")
    words = ("SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(tmp_path / "plain.pth"))
    run = build_run(small_config(root, tmp_path / "run", *words))
    assert (
        run.evaluators["market1501"].training
        == "trained on unknown data, denoised on its train split (32 images)"
    )


def test_a_stage_on_the_same_images_is_not_named_again(first):
    root, output = first
    run = build_run(small_config(root, output + "-again"))
    assert run.evaluators["market1501"].training == "trained on its train split (32 images)"

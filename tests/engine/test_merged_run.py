"""A run on two data sets at once: trained on the merged images, evaluated on each."""

import json
import runpy
from pathlib import Path

import pytest
from small import draw_people, small_words

from reid.config import load_config
from reid.data import write_synthetic_msmt
from reid.engine.build import build_run
from reid.models import load_checkpoint

TOOLS = Path(__file__).parents[2] / "tools"
MARKET, MSMT = "drawn people in Market-1501's layout", "drawn people in MSMT17 V1's layout"
BOTH = f"trained on {MARKET} train and {MSMT} train+val merged (56 images)"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """The configuration of a run on 8 and 6 identities, by 2 cameras each."""
    root = tmp_path_factory.mktemp("two")
    draw_people(root / "market1501")
    write_synthetic_msmt(
        root / "MSMT17_V1",
        num_train_ids=6,
        num_test_ids=5,
        num_cameras=2,
        images_per_camera=2,
        image_size=(64, 32),
    )
    names = "['market1501', 'msmt17']"
    return small_words(root, root / "run", "DATASETS.NAMES", names, "DENOISE.MAX_EPOCHS", "1")


@pytest.fixture(scope="module")
def finished(words):
    run = build_run(load_config(None, words))
    return run, run.run()


def test_both_sets_are_trained_on_and_each_is_evaluated(finished):
    run, results = finished
    assert {stage: set(found) for stage, found in results.items()} == {
        stage: {"market1501", "msmt17"} for stage in ("baseline", "label_free")
    }
    model, header = load_checkpoint(run.folder.path / "baseline.pth")
    assert model.spec.num_classes == 8 + 6
    assert (header.training.num_images, header.training.num_cameras) == (32 + 24, 2 + 2)
    protocols = [evaluator.protocol(model).describe() for evaluator in run.evaluators.values()]
    assert [line.split(", cosine")[0] for line in protocols] == [f"{MARKET}, {BOTH}", f"{MSMT}, {BOTH}"]


def test_every_evaluation_has_a_row_of_its_own(finished):
    folder = finished[0].folder.path
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [
        (row["stage"], row["dataset"], row["evaluation"]["num_query"]) for row in rows if "dataset" in row
    ]
    sizes = [("market1501", 8), ("msmt17", 10)]
    assert found == [(stage, *size) for stage in ("baseline", "label_free") for size in sizes]
    facts = json.loads((folder / "run.json").read_text())
    assert {name: len(trials) for name, trials in facts["trials"].items()} == {"market1501": 1, "msmt17": 1}


@pytest.mark.slow
def test_the_comparison_has_a_table_and_pictures_for_each_set(finished, words, capsys, tmp_path):
    main = runpy.run_path(str(TOOLS / "test.py"))["main"]
    weights = finished[0].folder.path / "denoised.pth"
    main(["--config", "demo.yml", "--weights", str(weights), "--json", str(tmp_path / "out.json"), *words])
    text = capsys.readouterr().out
    assert [f"protocol: {title}, {BOTH}" in text for title in (MARKET, MSMT)] == [True, True]
    assert {path.parent.name for path in finished[0].folder.path.glob("*/*.png")} == {"market1501", "msmt17"}
    figures = json.loads((tmp_path / "out.json").read_text())
    assert set(figures) == {"market1501", "msmt17", "baseline", "weights"}
    assert figures["msmt17"]["models"]["baseline"]["num_query"] == 10


@pytest.mark.slow
def test_a_set_without_labels_joins_where_none_are_needed(finished, words, tmp_path):
    """Denoised on the drawn sets and on a list of paths; the list is not evaluated."""
    run = finished[0]
    root = Path(words[words.index("DATASETS.ROOT_DIR") + 1])
    images = sorted((root / "market1501" / "query").glob("*.jpg"))
    (tmp_path / "more.csv").write_text("path\n" + "".join(f"{path}\n" for path in images))
    names = str(["msmt17", str(tmp_path / "more.csv")])
    more = ("DATASETS.NAMES", names, "SOLVER.MAX_EPOCHS", "0", "OUTPUT_DIR", str(tmp_path / "run"))
    start = ("MODEL.PRETRAIN_PATH", str(run.folder.path / "baseline.pth"))
    again = build_run(load_config(None, [*words, *more, *start]))
    assert set(again.run()["label_free"]) == {"msmt17"}
    assert again.history[-1].num_images == 24 + len(images)

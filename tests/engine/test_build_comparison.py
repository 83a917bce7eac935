"""From files of weights to comparisons: one run's, and those of several seeds."""

import json
import shutil
from statistics import mean, stdev

import pytest
import torch
from denoisers import randomise_denoisers
from small import draw_people, small_config

from reid.engine.build_comparison import ModelFiles, compare_files, compare_seeds
from reid.models import DenoiseSpec, Header, ModelSpec, Preprocessing, ReIDModel, save_checkpoint
from reid.utils import InputError

PREPROCESSING = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
ROWS = ["baseline", "+ DenoiseRep-", "+ DenoiseRep unfused", "+ DenoiseRep fused"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def save(path, plain, denoise):
    """``plain``, with random denoisers where there is a spec of them."""
    if denoise is None:
        return save_checkpoint(path, plain, Header(plain.spec, plain.preprocessing))
    model = randomise_denoisers(denoise.attach(plain))
    return save_checkpoint(path, model, Header(plain.spec, plain.preprocessing, denoise, "attached"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of a run, and in another folder of its control on the final feature."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (1, 2):
        torch.manual_seed(seed)
        plain = ReIDModel(ModelSpec("vit_micro", (32, 32), 3), PREPROCESSING).eval()
        save(folder / f"deep/seed_{seed}/baseline.pth", plain, None)
        save(folder / f"deep/seed_{seed}/denoised.pth", plain, DenoiseSpec())
        save(folder / f"final/seed_{seed}/denoised.pth", plain, DenoiseSpec(("feature",)))
    return folder


def config(people, output, *words):
    return small_config(people, output, "DATASETS.NAMES", "['market1501']", "SOLVER.SEED", "1", *words)


@pytest.mark.slow
def test_all_four_rows_from_files(people, runs, tmp_path):
    files = ModelFiles(runs / "deep/seed_1/denoised.pth", None, runs / "final/seed_1/denoised.pth")
    tested = compare_files(config(people, tmp_path), files, pictures=False)
    assert list(tested.figures["models"]) == ROWS
    assert tested.figures["baseline"] == str(runs / "deep/seed_1/baseline.pth")
    assert tested.figures["weights"] == str(files.weights)
    assert [line for line in tested.text.splitlines() if line.startswith("| + DenoiseRep- ")]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_seeds_are_averaged_and_kept(people, runs):
    deep, final = runs / "deep", runs / "final"
    tested = compare_seeds(config(people, deep), 2, final, pictures=False)
    figures = json.loads(json.dumps(tested.figures, allow_nan=False))
    alone = [
        compare_files(
            config(people, deep),
            ModelFiles(deep / f"seed_{seed}/denoised.pth", None, final / f"seed_{seed}/denoised.pth"),
            pictures=False,
        ).figures["models"]
        for seed in (1, 2)
    ]
    assert list(figures["seeds"]) == ["1", "2"]
    assert list(figures["models"]) == ROWS
    for name in ROWS:
        for key in ("mAP", "mINP", "R1", "R5", "R10"):
            values = [models[name][key] for models in alone]
            assert [run["models"][name][key] for run in figures["seeds"].values()] == values
            assert figures["models"][name][key] == pytest.approx({"mean": mean(values), "std": stdev(values)})
    gains = [models[ROWS[3]]["mAP_gain"] for models in alone]
    assert figures["models"][ROWS[3]]["mAP_gain"]["mean"] == pytest.approx(mean(gains))
    assert "mAP_gain" not in figures["models"]["baseline"]
    assert "mean ± sample standard deviation over seeds 1, 2" in tested.text
    row = next(line for line in tested.text.splitlines() if line.startswith("| baseline "))
    values = [100 * models["baseline"]["mAP"] for models in alone]
    assert row.split("|")[2].strip() == f"{mean(values):.2f} ± {stdev(values):.2f}"


@pytest.mark.slow
def test_one_seed_has_no_deviation(people, runs):
    tested = compare_seeds(config(people, runs / "deep"), 1, None, pictures=False)
    assert "±" not in tested.text
    assert isinstance(tested.figures["models"]["baseline"]["mAP"], float)


@pytest.mark.slow
def test_several_data_sets_have_a_table_each(people, runs, tmp_path):
    shutil.copytree(people, tmp_path / "people")
    (tmp_path / "people/mine.csv").write_text(
        "path,pid,camid,split\n"
        + "\n".join(
            f"{p.relative_to(tmp_path / 'people')},{p.name[:4]},{p.name[6]},{split}"
            for split, folder in (("query", "query"), ("gallery", "bounding_box_test"))
            for p in sorted((tmp_path / "people").rglob(f"{folder}/*.jpg"))
        )
    )
    cfg = config(tmp_path / "people", runs / "deep", "DATASETS.NAMES", "['market1501', 'mine.csv']")
    tested = compare_seeds(cfg, 2, None, pictures=False)
    assert set(tested.figures) == {"market1501", "mine.csv", "seeds"}
    assert tested.text.count("over seeds 1, 2") == 2
    assert set(tested.figures["mine.csv"]["models"]["baseline"]["mAP"]) == {"mean", "std"}


@pytest.mark.slow
def test_what_is_missing_or_of_another_kind_is_named(people, runs, tmp_path):
    with pytest.raises(InputError, match=r"seed_3 must hold denoised.pth or baseline.pth"):
        compare_seeds(config(people, runs / "deep"), 3, None, pictures=False)
    with pytest.raises(InputError, match=r"seed_1 must hold denoised.pth, it does not"):
        compare_seeds(config(people, runs / "deep"), 1, tmp_path, pictures=False)
    deep = runs / "deep/seed_1/denoised.pth"
    for wrong in (deep, runs / "deep/seed_1/baseline.pth"):
        with pytest.raises(InputError, match="must denoise the final feature alone"):
            compare_files(config(people, tmp_path), ModelFiles(deep, None, wrong), pictures=False)
    other = Preprocessing((32, 32), (0.1, 0.5, 0.5), (0.5, 0.5, 0.5))
    plain = ReIDModel(ModelSpec("vit_micro", (32, 32), 3), other)
    save(tmp_path / "other.pth", plain, DenoiseSpec(("feature",)))
    with pytest.raises(InputError, match="must see the same images"):
        compare_files(
            config(people, tmp_path), ModelFiles(deep, None, tmp_path / "other.pth"), pictures=False
        )

"""Finished cells are kept only for what they were measured on: words, weights and images."""

import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

from reid.data import write_synthetic
from reid.leaderboard import build_cells, find_cells
from reid.leaderboard.build_cells import Plan, run_cells
from reid.leaderboard.places import TOY_WORDS, Disk
from reid.models import ModelSpec, ReIDModel
from reid.utils import InputError, hold_folder

ROW = {
    **dict.fromkeys(("mAP", "R1"), 0.5),
    **{"latency_ratio": 1.0, "ms_per_image": 2.0, "mAP_gain": None, "protocol": "as the test says"},
}
CELLS = find_cells(6, ["baseline"])


def save_weights(folder, seed):
    torch.manual_seed(seed)
    state = ReIDModel(ModelSpec("resnet10", (64, 32), 2)).backbone.state_dict()
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "resnet50_imagenet.pth")


@pytest.fixture
def plan(tmp_path):
    write_synthetic("vehicleid", tmp_path / "data" / "VehicleID_V1.0", num_train_ids=2, num_test_ids=4)
    save_weights(tmp_path / "weights", 0)
    words = ("MODEL.NAME", "resnet10", *TOY_WORDS)
    return Plan(Disk(tmp_path / "data", tmp_path / "weights"), tmp_path / "results", words=words)


@pytest.fixture
def runs(monkeypatch):
    """The folders of baselines, in the order in which they were asked for."""
    found = []

    def run(work, seed, folder):
        found.append(build_cells._digest(work.plain, work.contents))
        return ROW

    monkeypatch.setattr(build_cells, "_run_seed", run)
    return found


def anew(plan, **changes):
    """The plan of another call: what lies on disk is looked at again."""
    return replace(plan, disk=Disk(plan.disk.data, plan.disk.weights), **changes)


def test_a_finished_cell_is_kept_wherever_its_files_lie(plan, runs, tmp_path):
    first = run_cells(CELLS, plan)
    for name in ("data", "weights"):
        shutil.move(tmp_path / name, tmp_path / f"other_{name}")
    moved = replace(plan, disk=Disk(tmp_path / "other_data", tmp_path / "other_weights"))
    assert run_cells(CELLS, moved) == first
    assert len(runs) == 1


def test_other_weights_and_images_under_the_same_names_are_others(plan, runs, tmp_path):
    run_cells(CELLS, plan)
    save_weights(tmp_path / "weights", 1)
    with pytest.raises(InputError, match=r"other words, seeds or sizes, weights or images.*--again"):
        run_cells(CELLS, anew(plan))
    run_cells(CELLS, anew(plan, again=True))
    image = sorted((tmp_path / "data").rglob("*.jpg"))[0]
    Image.new("RGB", (64, 64), "white").save(image)
    with pytest.raises(InputError, match="weights or images"):
        run_cells(CELLS, anew(plan))
    run_cells(CELLS, anew(plan, again=True))
    assert len(set(runs)) == 3, "each is trained in a folder of its own"


def test_two_runs_in_one_folder_are_refused_and_a_finished_one_is_read(plan, runs):
    with hold_folder(plan.results), pytest.raises(InputError, match="another run is at work"):
        run_cells(CELLS, plan)
    first = run_cells(CELLS, plan)
    with hold_folder(plan.results):
        assert run_cells(CELLS, plan) == first


def test_what_lies_no_longer_there_is_missing_and_not_other(plan, runs, tmp_path):
    run_cells(CELLS, plan)
    shutil.rmtree(tmp_path / "weights")
    (found,) = run_cells(CELLS, anew(plan)).values()
    assert "resnet50_imagenet.pth is missing" in found["missing"][0]

"""Two processes train as one: the same losses, the same weights, every test image once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small import draw_people, small_config, small_words
from two_processes import run_processes

from reid.data import paths_of, set_epoch
from reid.engine.build import build_run
from reid.engine.distributed import ALONE, World, synchronise_batchnorm
from reid.models import load_checkpoint
from reid.utils import InputError

TOOL = Path(__file__).parents[2] / "tools" / "train.py"
GATHER = """
import sys, torch
from reid.engine.distributed import join_world
with join_world("cpu") as world:
    rows = torch.tensor([[1.0 + world.rank], [10.0 + world.rank]], requires_grad=True)
    joined = world.gather(rows)
    (joined * torch.arange(4.0)[:, None]).sum().backward()
    found = (joined.flatten().tolist(), rows.grad.flatten().tolist(), world.gather_objects(world.rank))
    mean = float(world.mean(torch.tensor(1.0 + world.rank)))
    found += (world.from_main("main" if world.is_main else None), mean)
    print(found)
"""

# One process fails, the other waits for it.
FAILS = """
import sys
from reid.engine.distributed import join_world
from reid.utils import InputError
from reid.utils.cli import run_tool

def main(words):
    with join_world("cpu") as world:
        if world.rank == int(words[0]):
            raise InputError("a.jpg is no image")
        world.gather_objects(world.rank)

sys.exit(run_tool(main))
"""

# The third loss of the second process is none; everything else is tools/train.py.
BROKEN = """
import os, runpy, sys
from reid.engine.steps import LossStep
from reid.losses import Loss

forward, count = LossStep.forward, []

def broken(self, batch):
    count.append(1)
    loss = forward(self, batch)
    is_broken = os.environ["RANK"] == "1" and len(count) == 3
    return Loss(loss.total * float("nan"), loss.parts) if is_broken else loss

LossStep.forward = broken
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    # 4 cameras and 22 test images or so: no even number for two processes.
    return draw_people(tmp_path_factory.mktemp("data") / "people", num_junk=1, num_distractors=1)


def words_of(people, folder, *more):
    words = small_words(people, folder, "MODEL.DROP_PATH", "0", "SOLVER.EVAL_PERIOD", "1", *more)
    return ["--config", "demo.yml", *words]


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_rows_are_joined_in_the_order_of_ranks_and_gradients_are_summed(tmp_path):
    (tmp_path / "gather.py").write_text(GATHER)
    first, second = run_processes(tmp_path / "gather.py")
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    rows, grads, ranks, main, mean = eval(first[1])  # the script is our own
    assert (rows, ranks, main, mean) == ([1, 10, 2, 11], [0, 1], "main", 1.5)
    assert grads == [0, 2]
    assert eval(second[1])[1] == [4, 6]


@pytest.mark.slow
def test_two_processes_train_as_one(people, tmp_path):
    """With labels: the loss of every epoch, the metrics and the weights are those of one process."""
    more = ["DENOISE.MODE", "none", "SOLVER.OPTIMIZER_NAME", "SGD", "SOLVER.BASE_LR", "1e-2"]
    alone = subprocess.run(
        [sys.executable, str(TOOL), *words_of(people, tmp_path / "one", *more)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    both = run_processes(TOOL, *words_of(people, tmp_path / "two", *more))
    assert [code for code, _, _ in both] == [0, 0], both[0][2] + both[1][2]
    one, two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert len(one) == len(two) == 4
    for single, shared in zip(one, two, strict=True):
        for part in ("loss", "id", "triplet"):
            if part in single:
                assert shared[part] == pytest.approx(single[part], rel=1e-4)
        if "evaluation" in single:
            assert shared["evaluation"]["mAP"] == pytest.approx(single["evaluation"]["mAP"], abs=1e-6)
            assert shared["evaluation"]["num_gallery"] == single["evaluation"]["num_gallery"]
    models = [load_checkpoint(tmp_path / name / "baseline.pth")[0].state_dict() for name in ("one", "two")]
    for key, value in models[0].items():
        torch.testing.assert_close(models[1][key], value, rtol=1e-3, atol=1e-5)
    assert both[1][1] == ""  # the second process prints no table
    assert (tmp_path / "two" / "log.rank1.txt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["label_free", "alternating", "joint"])
def test_two_processes_denoise_in_every_mode(people, tmp_path, mode):
    more = ["DENOISE.MODE", mode, "DENOISE.PERIOD", "1", "SOLVER.MAX_EPOCHS", "1", "SOLVER.ACCUMULATE", "2"]
    both = run_processes(TOOL, *words_of(people, tmp_path / "run", *more))
    assert [code for code, _, _ in both] == [0, 0], both[0][2] + both[1][2]
    assert (tmp_path / "run" / "fused.pth").is_file()


@pytest.mark.slow
def test_a_loss_that_one_process_breaks_stops_all_and_names_the_whole_batch(people, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    words = words_of(people, tmp_path / "run", "DENOISE.MODE", "none")
    both = run_processes(tmp_path / "broken.py", TOOL, *words)
    assert [code for code, _, _ in both] == [2, 2], both[0][2] + both[1][2]
    found = json.loads((tmp_path / "run" / "bad_batch.json").read_text())
    assert (found["epoch"], found["iteration"], found["losses"]["loss"]) == (2, 1, "nan")
    alone = build_run(small_config(people, tmp_path / "alone", "DENOISE.MODE", "none"))
    set_epoch(alone.loader, 2)
    batch = next(iter(alone.loader))
    assert found["files"] == [str(path) for path in paths_of(alone.loader, batch)]
    for _, _, said in both:
        assert (
            f"and {len(found['files']) - 3} more (all of them in {tmp_path / 'run' / 'bad_batch.json'})"
            in said
        )
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1  # the main process's


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--dry-run", "--overfit=5"])
def test_two_processes_try_a_run_out_as_one(people, tmp_path, flag):
    more = ["DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1", "--json", tmp_path / "found.json"]
    both = run_processes(TOOL, flag, *words_of(people, tmp_path / "run", *more))
    assert [code for code, _, _ in both] == [0, 0], both[0][2] + both[1][2]
    assert both[0][1]
    assert both[1][1] == ""
    found = json.loads((tmp_path / "found.json").read_text())
    assert [row["phase"] for row in found["phases"]] == ["baseline", "denoisers", "backbone"]
    # The images of both.
    assert found["processes" if flag == "--dry-run" else "num_images"] == (2 if flag == "--dry-run" else 16)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_process_that_fails_ends_the_job_with_its_message(people, tmp_path):
    """Under torchrun: an image that cannot be read is met by one of the two."""
    for image in sorted((people / "query").iterdir())[1::2]:
        image.write_bytes(b"no image")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    job = subprocess.run(
        [*command, str(TOOL), *words_of(people, tmp_path / "run", "DENOISE.MODE", "none")],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert job.returncode != 0
    # torchrun ends with a traceback of its own; no process of ours does.
    assert "[rank" not in job.stderr, job.stderr
    told = [line for line in job.stderr.splitlines() if line.startswith("error: ")]
    assert 1 <= len(told) <= 2, job.stderr
    assert all("no image" in line or "readable" in line for line in told)


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_the_other_process_tells_of_the_one_that_failed(tmp_path, failing):
    (tmp_path / "fails.py").write_text(FAILS)
    both = run_processes(tmp_path / "fails.py", failing)
    assert [code for code, _, _ in both] == [2, 2], both[0][2] + both[1][2]
    assert both[failing][2].splitlines()[-1] == "error: a.jpg is no image"
    # The main process keeps the store here: once it is gone, nobody has its message.
    told = {f"error: process {failing} stopped: a.jpg is no image"}
    if failing == 0:
        told.add("error: the main process stopped; it says why")
    assert both[1 - failing][2].splitlines()[-1] in told


@pytest.mark.slow
def test_of_one_that_was_interrupted_the_other_tells_that(tmp_path):
    (tmp_path / "fails.py").write_text(FAILS.replace('InputError("a.jpg is no image")', "KeyboardInterrupt"))
    both = run_processes(tmp_path / "fails.py", 1)
    assert [code for code, _, _ in both] == [2, 130], both[0][2] + both[1][2]
    assert both[0][2].splitlines()[-1] == "error: process 1 stopped: interrupted"


@pytest.mark.slow
def test_a_fault_of_this_process_keeps_its_message(tmp_path):
    (tmp_path / "fails.py").write_text(FAILS.replace("InputError(", "RuntimeError("))
    both = run_processes(tmp_path / "fails.py", 1)
    assert both[1][0] == 1
    assert both[1][2].splitlines()[-1].endswith("RuntimeError: a.jpg is no image")


def test_one_process_is_alone():
    rows = torch.ones(2, 3)
    assert ALONE.is_main
    assert ALONE.gather(rows) is rows
    assert ALONE.gather_objects(3) == [3]
    assert ALONE.from_main("x") == "x"
    assert ALONE.rows(3).tolist() == [0, 1, 2]


def test_every_row_is_one_process_s():
    parts = [World(rank, 3).rows(7).tolist() for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4], [2, 5]]


def test_a_batch_that_cannot_be_shared_is_refused():
    assert World(0, 4).share(64) == 16
    with pytest.raises(InputError, match="IMS_PER_BATCH must be a multiple of the 3 processes, got 64"):
        World(0, 3).share(64)


def test_one_gpu_for_all_is_refused():
    with pytest.raises(InputError, match=r"MODEL.DEVICE must be cuda or auto with 2 processes, got cuda:1"):
        World(0, 2).device(torch.device("cuda", 1))
    assert World(1, 2).device(torch.device("cpu")) == torch.device("cpu")


def test_synchronised_batchnorm_without_gpus_is_refused():
    model = torch.nn.BatchNorm1d(3)
    assert synchronise_batchnorm(model, ALONE, torch.device("cpu")) is model
    with pytest.raises(InputError, match=r"SOLVER.SYNC_BATCHNORM needs GPUs, got cpu"):
        synchronise_batchnorm(model, World(0, 2), torch.device("cpu"))

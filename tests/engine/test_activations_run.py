"""Whole runs end with the same bits, whether blocks are computed again in the backward pass or not."""

from pathlib import Path

import pytest
import torch
from small import draw_people, small_config, small_words
from two_processes import run_processes

from reid.engine import activations
from reid.engine.build import build_run
from reid.models import load_checkpoint
from reid.utils import InputError

TOOL = Path(__file__).parents[2] / "tools" / "train.py"
SHORT = ["SOLVER.MAX_EPOCHS", "1", "DENOISE.MAX_EPOCHS", "2", "DENOISE.PERIOD", "1"]
DRAWS = ["MODEL.DROP_PATH", "0.5", "DENOISE.LOSS", "l1+l2", "DENOISE.TOKEN_SHARE", "0.5"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def words_of(is_recomputed, *more):
    return [*SHORT, *DRAWS, "SOLVER.GRAD_CHECKPOINTING", str(is_recomputed), *more]


def assert_same_weights(a, b):
    for name in ("baseline.pth", "denoised.pth", "fused.pth"):
        first, second = (load_checkpoint(folder / name)[0].state_dict() for folder in (a, b))
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[key]) for key, value in first.items()), name


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        pytest.param("joint", ["SOLVER.ACCUMULATE", "2", "DENOISE.MAX_EPOCHS", "1"], marks=pytest.mark.slow),
        pytest.param("alternating", [], marks=pytest.mark.slow),
        pytest.param(
            "joint", ["MODEL.NAME", "resnet10", "DENOISE.TARGETS", "['conv']"], marks=pytest.mark.slow
        ),
    ],
)
def test_a_run_ends_with_the_same_bits(people, tmp_path, monkeypatch, mode, more):
    calls, original = [], activations.checkpoint

    def count(*args, **options):
        calls.append(1)
        return original(*args, **options)

    monkeypatch.setattr(activations, "checkpoint", count)
    for is_recomputed in (False, True):
        words = words_of(is_recomputed, "DENOISE.MODE", mode, *more)
        build_run(small_config(people, tmp_path / str(is_recomputed), *words)).run()
        assert bool(calls) == is_recomputed
    assert_same_weights(tmp_path / "False", tmp_path / "True")


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["MODEL.NAME", "resnet10", "DENOISE.TARGETS", "['conv']"]])
def test_two_processes_end_with_the_same_bits(people, tmp_path, more):
    """Batches are added up, and DistributedDataParallel hands BatchNorms' statistics round."""
    for is_recomputed in (False, True):
        words = words_of(is_recomputed, "DENOISE.MODE", "joint", "SOLVER.ACCUMULATE", "2", *more)
        words = ["--config", "demo.yml", *small_words(people, tmp_path / str(is_recomputed), *words)]
        both = run_processes(TOOL, *words)
        assert [code for code, _, _ in both] == [0, 0], both[0][2] + both[1][2]
    assert_same_weights(tmp_path / "False", tmp_path / "True")


def test_a_backbone_without_known_blocks_is_refused_before_anything_is_written(people, tmp_path):
    words = ["SOLVER.GRAD_CHECKPOINTING", "True", "DENOISE.MODE", "none"]
    run = build_run(small_config(people, tmp_path / "run", *words))
    run.model.backbone = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"got Linear; set SOLVER.GRAD_CHECKPOINTING False"):
        run.run()
    assert not (tmp_path / "run").exists()

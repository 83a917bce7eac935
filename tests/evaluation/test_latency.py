import pytest
import torch
from torch import nn

from reid.evaluation import measure_latency
from reid.utils import InputError


class Clock:
    """A clock that only models move."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self.order = []
        monkeypatch.setattr("time.perf_counter", lambda: self.now)


class Worker(nn.Module):
    """Takes the given seconds, one entry a call, the last one for ever."""

    def __init__(self, clock, name, *seconds):
        super().__init__()
        self.clock, self.name, self.seconds = clock, name, list(seconds)

    def forward(self, images):
        self.clock.order.append(self.name)
        self.clock.now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        self.seen = self.training, torch.is_inference_mode_enabled()


IMAGES = torch.zeros(4, 3, 2, 2)


def test_median_time_an_image_and_ratio(monkeypatch):
    clock = Clock(monkeypatch)
    models = {"plain": Worker(clock, "plain", 0.4), "slow": Worker(clock, "slow", 0.5)}
    results = measure_latency(models, IMAGES, rounds=3, warmup=0)
    assert list(results) == ["plain", "slow"]
    assert results["plain"].median_ms_per_image == pytest.approx(100)
    assert results["plain"].ratio_to_first == 1
    assert results["slow"].median_ms_per_image == pytest.approx(125)
    assert results["slow"].ratio_to_first == pytest.approx(1.25)


def test_ratio_is_taken_within_a_round(monkeypatch):
    # The machine slows down. Ratios 5, 1, 2: their median is not that of the times, 5 / 2.
    clock = Clock(monkeypatch)
    models = {"a": Worker(clock, "a", 1, 2, 9), "b": Worker(clock, "b", 5, 2, 18)}
    results = measure_latency(models, IMAGES, rounds=3, warmup=0)
    assert results["b"].ratio_to_first == pytest.approx(2)
    assert results["b"].median_ms_per_image == pytest.approx(1250)


def test_rounds_begin_with_each_model_in_turn_after_the_warmup(monkeypatch):
    clock = Clock(monkeypatch)
    measure_latency({name: Worker(clock, name, 1.0) for name in "abc"}, IMAGES, rounds=4, warmup=2)
    assert "".join(clock.order) == "aabbcc" + "abc" + "bca" + "cab" + "abc"


def test_warmup_is_not_timed(monkeypatch):
    clock = Clock(monkeypatch)
    results = measure_latency({"a": Worker(clock, "a", 100.0, 0.004)}, IMAGES, rounds=1, warmup=1)
    assert results["a"].median_ms_per_image == pytest.approx(1)


def test_models_run_in_evaluation_mode_without_gradients(monkeypatch):
    worker = Worker(Clock(monkeypatch), "a", 1.0).train()
    measure_latency({"a": worker}, IMAGES, rounds=1, warmup=0)
    assert worker.seen == (False, True)
    assert worker.training


def test_a_model_that_embeds_is_timed_through_embed():
    class Embedding(nn.Linear):
        def embed(self, images):
            self.was_used = True

    model = Embedding(1, 1)
    measure_latency({"a": model}, IMAGES, rounds=1, warmup=0)
    assert model.was_used


def test_cameras_go_to_models_that_embed_and_to_no_other():
    class Embedding(nn.Linear):
        def embed(self, images, camids=None, viewids=None):
            self.seen = camids, viewids

    models = {"a": Embedding(1, 1), "b": nn.Identity()}
    measure_latency(models, IMAGES, sides={"viewids": torch.ones(4)}, rounds=1, warmup=0)
    assert models["a"].seen[0] is None
    assert torch.equal(models["a"].seen[1], torch.ones(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {}}, "got 0 models"),
        ({"images": IMAGES[:0]}, "got 1 models, 0 images"),
        ({"rounds": 0}, "0 rounds"),
        ({"warmup": -1}, "warm-up -1"),
    ],
)
def test_nothing_to_time_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        measure_latency(**{"models": {"a": nn.Identity()}, "images": IMAGES, **change})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_gpu_work_is_waited_for():
    class Large(nn.Module):
        def forward(self, images):
            for _ in range(50):
                images = images @ images

    result = measure_latency({"a": Large()}, torch.eye(4096, device="cuda"), rounds=2)["a"]
    # 50 products of 1.4e11 operations: queued in under a millisecond, computed in more than 20.
    assert result.median_ms_per_image * 4096 > 20

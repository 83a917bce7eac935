"""Names of devices, with and without GPUs."""

import pytest
import torch

from reid.utils import InputError, pick_device


@pytest.fixture(params=[0, 2], ids=["no gpu", "two gpus"])
def gpus(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    return request.param


def test_auto_takes_a_gpu_where_there_is_one(gpus):
    assert pick_device("auto").type == ("cuda" if gpus else "cpu")


def test_cpu_is_always_there(gpus):
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:9"])
def test_a_gpu_that_is_not_there_is_refused_with_the_count(name, gpus):
    index = int(name.partition(":")[2] or 0)
    if index < gpus:
        assert pick_device(name) == torch.device(name)
    else:
        with pytest.raises(InputError, match=f"device '{name}' was asked for but {gpus} GPUs are usable"):
            pick_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "cuda:-1", "mps", "meta", "CPU", "cuda:0:1"])
def test_any_other_name_is_refused_and_shown(name, gpus):
    with pytest.raises(InputError, match=f"must be auto, cpu, cuda or cuda:N, got '{name}'"):
        pick_device(name)

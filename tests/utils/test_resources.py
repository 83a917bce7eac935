"""Memory that was held and disk that is free."""

import os
import shutil

import pytest
import torch

from reid.utils.resources import free_space, peak_memory


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_the_peak_is_at_least_what_is_held_now_in_bytes():
    with open("/proc/self/statm") as file:
        held = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    # Linux takes note of a process's pages in batches, so the two may differ by some.
    assert 0.9 * held < peak_memory(torch.device("cpu")) < 100 * held


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_peak_of_a_gpu_is_that_of_its_tensors():
    device = torch.device("cuda", 0)
    torch.cuda.reset_peak_memory_stats(device)
    before = peak_memory(device)
    torch.ones(10**6, device=device)
    assert peak_memory(device) >= before + 4 * 10**6 - 512


def test_the_space_of_a_folder_that_does_not_exist_is_that_of_where_it_would_be(tmp_path, monkeypatch):
    asked = []
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or usage)
    assert free_space(tmp_path / "a" / "b") == usage.free
    monkeypatch.chdir(tmp_path)
    free_space(type(tmp_path)("runs/new"))
    assert asked == [tmp_path, tmp_path]

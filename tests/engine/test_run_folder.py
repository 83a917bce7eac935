"""States to go on from survive a disk that is full."""

import resource
from contextlib import contextmanager

import pytest
import torch

from reid.engine.run_folder import BASELINE, LAST, PREVIOUS, RunFolder
from reid.utils import InputError


def state_of(epoch):
    return {"epoch": epoch, "model": {"a.b": torch.ones(10_000)}, "optimizers": {}, "scaler": {}}


@contextmanager
def full_disk():
    """No file may grow beyond a kilobyte; nothing is printed meanwhile, for that may go to a file too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    for epoch in (1, 2):
        folder.save("config", state_of(epoch))
    return folder


def test_a_full_disk_leaves_the_last_two_states(folder):
    with pytest.raises(OSError, match="File too large"), full_disk():
        folder.save("config", state_of(3))
    assert folder.resume("config")["epoch"] == 2
    assert torch.load(folder.path / PREVIOUS, weights_only=True)["epoch"] == 1
    assert sorted(path.name for path in folder.path.iterdir()) == sorted([LAST, PREVIOUS])


@pytest.mark.parametrize(("name", "message"), [(LAST, "unfinished run"), (BASELINE, "a finished run")])
def test_a_folder_that_holds_a_run_is_not_new(tmp_path, name, message):
    folder = RunFolder(tmp_path / "new")
    folder.check_new()
    assert not folder.path.exists()
    folder.path.mkdir()
    (folder.path / name).touch()
    with pytest.raises(InputError, match=message):
        folder.check_new()

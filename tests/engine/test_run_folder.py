"""States to go on from survive a disk that is full; what a failed run left goes with the next one."""

import pytest
import torch
from full_disk import full_disk

from reid.engine.run_folder import BASELINE, LAST, PREVIOUS, RunFolder
from reid.utils import InputError


def state_of(epoch):
    return {"epoch": epoch, "model": {"a.b": torch.ones(10_000)}, "optimizers": {}, "scaler": {}, "guard": {}}


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


LEFT = ("curves.png", "bad_batch.json", "tensorboard/events.out.tfevents.1", "tensorboard/notes.txt")


def test_a_new_run_replaces_what_a_failed_one_left_to_look_at(tmp_path):
    """Not what somebody else put there."""
    for name in LEFT:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    RunFolder(tmp_path).start("config", {})
    assert {name for name in LEFT if (tmp_path / name).exists()} == {"tensorboard/notes.txt"}


def test_a_finished_run_has_no_bad_batch(folder):
    (folder.path / "bad_batch.json").write_text("{}")
    folder.finish()
    assert not list(folder.path.iterdir())


def test_rows_of_metrics_are_read_as_they_were_written(tmp_path):
    folder, rows = RunFolder(tmp_path), [{"epoch": 1, "loss": 0.1}, {"epoch": 1, "dataset": "a\u2028b"}]
    assert folder.metrics() == []
    for row in rows:
        folder.add_metrics(row)
    assert folder.metrics() == rows


@pytest.mark.parametrize(("name", "message"), [(LAST, "unfinished run"), (BASELINE, "a finished run")])
def test_a_folder_that_holds_a_run_is_not_new(tmp_path, name, message):
    folder = RunFolder(tmp_path / "new")
    folder.check_new()
    assert not folder.path.exists()
    folder.path.mkdir()
    (folder.path / name).touch()
    with pytest.raises(InputError, match=message):
        folder.check_new()

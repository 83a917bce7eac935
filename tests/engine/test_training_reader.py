"""Batches for a rehearsal: those of the epochs, one after the other, each with its time."""

from itertools import count
from types import SimpleNamespace

import pytest
import torch
from small import draw_people, small_config

from reid.data import set_epoch
from reid.engine.build import build_run
from reid.engine.training_reader import TrainingReader
from reid.utils import InputError


@pytest.fixture(scope="module")
def loader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return build_run(small_config(draw_people(folder / "people"), folder / "run")).loader


def test_epoch_follows_epoch(loader):
    expected = []
    for epoch in (1, 2):
        set_epoch(loader, epoch)
        expected += [batch.indices for batch in loader]
    ticks = count()
    reader = TrainingReader(loader, lambda: next(ticks) ** 2)
    found = [batch.indices for batch in (*reader.take(3), *reader.take(1))]
    assert len(expected) == 4
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert reader.waits == [1, 5, 9, 13]  # 1 - 0, 9 - 4, 25 - 16, 49 - 36
    assert reader.read == 9


def test_of_workers_only_the_first_wait_tells_how_long_reading_takes():
    reader = TrainingReader(SimpleNamespace(num_workers=2), lambda: 0.0)
    reader.waits = [5.0, 0.1, 0.2, 0.1]
    assert reader.read == 5.0


def test_no_batch_at_all_is_refused(loader, monkeypatch):
    monkeypatch.setattr("reid.engine.training_reader.iterate", lambda loader: iter(()))
    with pytest.raises(InputError, match="each process needs a training image"):
        list(TrainingReader(loader, lambda: 0.0).take(1))

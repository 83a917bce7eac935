"""Whole runs: one that is interrupted, and the rows of metrics that a run left."""

import json

import pytest

from reid.engine.build import build_run
from reid.engine.trainer import Trainer


def interrupt(cfg, epochs_before):
    """Run until ``epochs_before`` epochs are done."""
    original, count = Trainer._train_epoch, []

    def interrupted(self, *args):
        count.append(1)
        if len(count) > epochs_before:
            raise KeyboardInterrupt
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_run(cfg).run()


def metric_rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

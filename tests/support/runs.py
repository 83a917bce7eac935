"""Whole runs: one that is interrupted, and the rows of metrics that a run left."""

import json

import pytest

from reid.engine.build import build_run
from reid.engine.closed_form import ClosedForm
from reid.engine.trainer import Trainer


def interrupt(cfg, epochs_before):
    """Run until ``epochs_before`` epochs are done."""
    count = []

    def interrupted(original):
        def train_epoch(self, *args):
            count.append(1)
            if len(count) > epochs_before:
                raise KeyboardInterrupt
            return original(self, *args)

        return train_epoch

    with pytest.MonkeyPatch.context() as patch:
        for kind in (Trainer, ClosedForm):
            patch.setattr(kind, "_train_epoch", interrupted(kind._train_epoch))
        with pytest.raises(KeyboardInterrupt):
            build_run(cfg).run()


def metric_rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

"""The files of a run: enough to repeat it, and to go on after an interruption."""

import json
from pathlib import Path
from typing import Any

import torch

from reid.models.weights import read_file
from reid.utils import InputError, append_jsonl, write_atomically, write_json

CONFIG, FACTS, METRICS, LAST = "config.yml", "run.json", "metrics.jsonl", "last.pth"
BASELINE, DENOISED, FUSED = "baseline.pth", "denoised.pth", "fused.pth"


class RunFolder:
    """A folder with ``config.yml``, ``run.json``, ``metrics.jsonl``, ``log.txt`` and checkpoints.

    ``last.pth`` exists while a run is unfinished; the others stay.

    Args:
        path: The folder; made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, config: str, facts: dict[str, Any]) -> None:
        """Begin a new run; the files of a finished one are replaced.

        Args:
            config: The resolved configuration as YAML.
            facts: Versions, data counts and protocol, for people to read.

        Raises:
            InputError: If an unfinished run is here.
        """
        if (self.path / LAST).exists():
            raise InputError(
                f"{self.path} holds an unfinished run; pass --resume to go on, or name another OUTPUT_DIR,"
                " or delete it"
            )
        for name in (METRICS, BASELINE, DENOISED, FUSED):
            (self.path / name).unlink(missing_ok=True)
        with write_atomically(self.path / CONFIG) as temporary:
            temporary.write_text(config, encoding="utf-8")
        write_json(self.path / FACTS, facts)

    def resume(self, config: str) -> dict[str, Any] | None:
        """The state that :meth:`save` wrote last; None where there is nothing to go on from.

        Raises:
            InputError: If the run is finished, was started with another configuration, or the state cannot be
                read.
        """
        if not (self.path / LAST).exists():
            if (self.path / METRICS).exists() and any(self.path.glob("*.pth")):
                raise InputError(
                    f"{self.path} holds a finished run: nothing to resume; name another OUTPUT_DIR"
                )
            return None
        state = read_file(self.path / LAST)
        if state["config"] != config:
            old, new = state["config"].splitlines(), config.splitlines()
            changed = sorted(line.strip() for line in set(new) - set(old))
            raise InputError(
                f"{self.path} was started with another configuration; changed: {', '.join(changed)}"
            )
        return state

    def save(self, config: str, state: dict[str, Any]) -> None:
        """Write the state to go on from, atomically."""
        with write_atomically(self.path / LAST) as temporary:
            torch.save({"config": config, **state}, temporary)

    def finish(self) -> None:
        """Mark the run as finished."""
        (self.path / LAST).unlink(missing_ok=True)

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Append one row to ``metrics.jsonl``."""
        append_jsonl(self.path / METRICS, row)

    def drop_metrics_after(self, epoch: int) -> None:
        """Remove the rows of epochs that a resumed run is going to repeat."""
        path = self.path / METRICS
        if not path.exists():
            return
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [line for line in lines if json.loads(line)["epoch"] <= epoch]
        with write_atomically(path) as temporary:
            temporary.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")

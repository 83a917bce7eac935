"""The files of a run: enough to repeat it, and to go on after an interruption."""

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml

from reid.models.read import read_file
from reid.utils import InputError, append_jsonl, hold_folder, write_atomically, write_json

logger = logging.getLogger(__name__)

CONFIG, FACTS, METRICS = "config.yml", "run.json", "metrics.jsonl"
EVENTS, CURVES, BAD_BATCH = "tensorboard", "curves.png", "bad_batch.json"
LAST, PREVIOUS = "last.pth", "last.previous.pth"
BASELINE, DENOISED, FUSED = "baseline.pth", "denoised.pth", "fused.pth"
STATISTICS = "statistics.pt"  # that the denoisers were solved from
PLAIN = "plain.pth"  # of a control that has no denoisers

# What a state to go on from holds, beside whatever else.
STATE = {"config": str, "epoch": int, "model": dict, "optimizers": dict, "scaler": dict, "guard": dict}


class RunFolder:
    """A folder with ``config.yml``, ``run.json``, ``metrics.jsonl``, ``log.txt`` and checkpoints.

    ``statistics.pt`` is what denoisers were solved from in closed form: it gives those of any other schedule
    without an image.

    ``tensorboard/`` and ``curves.png`` show what ``metrics.jsonl`` holds. ``last.pth`` and the state before
    it, ``last.previous.pth``, exist while a run is unfinished, and ``bad_batch.json`` where a loss stopped
    it; the others stay. A folder that holds the checkpoints of a run is never written over.

    Args:
        path: The folder; made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def hold(self, *, is_main: bool = True) -> AbstractContextManager[None]:
        """Let no other run begin or go on here while the context is open; only the main process holds.

        Raises:
            InputError: If another run is at work here.
        """
        return hold_folder(self.path) if is_main else nullcontext()

    def check_new(self) -> None:
        """Refuse to begin a run where one is; nothing is changed.

        Raises:
            InputError: If the checkpoints of a run are here.
        """
        if self._existing(LAST, PREVIOUS):
            raise InputError(
                f"{self.path} holds an unfinished run; pass --resume to go on, or name another OUTPUT_DIR,"
                " or delete it"
            )
        if kept := self._existing(BASELINE, DENOISED, FUSED, PLAIN):
            raise InputError(
                f"{self.path} holds a finished run ({', '.join(path.name for path in kept)}), which is"
                " neither resumed nor written over; name another OUTPUT_DIR, or delete it"
            )

    def start(self, config: str, facts: dict[str, Any]) -> None:
        """Begin a new run; what a run that failed before its first checkpoint left is replaced.

        Args:
            config: The resolved configuration as YAML.
            facts: Versions, data counts and protocol, for people to read.

        Raises:
            InputError: If the checkpoints of a run are here.
        """
        self.check_new()
        for path in (
            *self._existing(METRICS, CURVES, BAD_BATCH, STATISTICS),
            *self.path.glob(f"{EVENTS}/events.*"),
        ):
            path.unlink()
        with write_atomically(self.path / CONFIG) as temporary:
            temporary.write_text(config, encoding="utf-8")
        write_json(self.path / FACTS, facts)

    def resume(self, config: str) -> dict[str, Any] | None:
        """The state that :meth:`save` wrote last; None where there is nothing to go on from.

        Nothing is changed. Where the last state is damaged, the one before it is taken, with a warning.

        Raises:
            InputError: If the run was started with another configuration, or no state can be read.
        """
        paths = self._existing(LAST, PREVIOUS)
        if not paths:
            return None
        try:
            state = _read_state(paths[0])
        except InputError as error:
            if len(paths) == 1:
                raise InputError(f"{error}; delete {self.path} to train anew") from error
            state = _read_state(paths[1])
            logger.warning("%s; going on from %s, which is older", error, paths[1])
        self._check_config(state["config"], config)
        return state

    def is_finished(self, config: str, end: str) -> bool:
        """Whether the run of ``config`` has come to its end here.

        Args:
            config: The resolved configuration as YAML.
            end: The checkpoint that it ends with.

        Raises:
            InputError: If a run of another configuration has, or its configuration cannot be read.
        """
        path = self.path / CONFIG
        if not self._existing(end) or self._existing(LAST, PREVIOUS) or not path.is_file():
            return False
        try:
            self._check_config(path.read_text(encoding="utf-8"), config)
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(
                f"{path} must be the YAML of a finished run: {error}; delete {self.path}"
            ) from error
        return True

    def check_facts(self, facts: dict[str, Any]) -> None:
        """Refuse to go on with other images, or from other weights, than the run here began with.

        Args:
            facts: Of the run that would go on; its ``digests`` count, where the run here has them too.

        Raises:
            InputError: Naming what has changed.
        """
        path = self.path / FACTS
        try:
            before = json.loads(path.read_text(encoding="utf-8")).get("digests", {}) if path.is_file() else {}
        except (ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} must be the JSON of a run; delete {self.path} to train anew") from error
        now = facts.get("digests", {})
        changed = sorted(name for name in now if name in before and before[name] != now[name])
        if changed:
            raise InputError(
                f"{self.path} began with other {' and '.join(changed)} than there are now; bring them back,"
                f" or delete {self.path} to train anew"
            )

    def _check_config(self, old: str, new: str) -> None:
        if old != new:
            before, after = (_leaves(yaml.safe_load(text)) for text in (old, new))
            changed = sorted(f"{key}: {value}" for key, value in after.items() if before.get(key) != value)
            raise InputError(
                f"{self.path} was started with another configuration; changed: {', '.join(changed)}; use that"
                " configuration, or name another OUTPUT_DIR"
            )

    def save(self, config: str, state: dict[str, Any]) -> None:
        """Write the state to go on from, atomically, and keep the one before it.

        Raises:
            OSError: If it cannot be written, the disk being full for one; the states before it are then kept.
        """
        with write_atomically(self.path / LAST) as temporary:
            # To an open file: writing to a path, torch hides that the disk is full.
            with temporary.open("wb") as file:
                torch.save({"config": config, **state}, file)
            for last in self._existing(LAST):
                last.replace(self.path / PREVIOUS)

    def finish(self) -> None:
        """Mark the run as finished."""
        # A run that was killed while it wrote left a temporary file. The last state goes last: while it is
        # here, the run can be resumed.
        for path in (*self.path.glob(".*-????????.*"), *self._existing(BAD_BATCH, PREVIOUS, LAST)):
            path.unlink()

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Append one row to ``metrics.jsonl``."""
        append_jsonl(self.path / METRICS, row)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``, in their order; none before the first."""
        path = self.path / METRICS
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def drop_metrics_after(self, epoch: int) -> None:
        """Remove the rows that a resumed run is going to repeat: of later epochs, and this one's evaluation.

        A last line that was cut when the run was killed goes too.

        Raises:
            InputError: If another line is no row of metrics; the file is then left as it is.
        """
        path = self.path / METRICS
        if not path.exists():
            return
        *lines, cut = path.read_bytes().split(b"\n")
        if cut:
            logger.info("%s: the last line was cut when the run was killed; it is dropped", path)
        rows = []
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                is_repeated = row["epoch"] > epoch or (row["epoch"] == epoch and "evaluation" in row)
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise InputError(
                    f"{path}, line {number}, must be a JSON object with an epoch; mend or delete the line"
                ) from error
            if not is_repeated:
                rows.append(line + b"\n")
        with write_atomically(path) as temporary:
            temporary.write_bytes(b"".join(rows))

    def _existing(self, *names: str) -> list[Path]:
        return [self.path / name for name in names if (self.path / name).exists()]


def _leaves(tree: Any, key: str = "") -> dict[str, Any]:
    """The values of a tree of dictionaries by their dotted keys."""
    if not isinstance(tree, dict):
        return {key: tree}
    found: dict[str, Any] = {}
    for name, branch in tree.items():
        found |= _leaves(branch, f"{key}.{name}" if key else str(name))
    return found


def _read_state(path: Path) -> dict[str, Any]:
    state = read_file(path)
    if not isinstance(state, dict) or not all(isinstance(state.get(k), kind) for k, kind in STATE.items()):
        raise InputError(f"{path} must hold the state of an unfinished run, with {', '.join(STATE)}")
    return state

"""An extraction that can be interrupted: what is finished of it, in a folder beside its result."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reid.data.readable import Unreadable
from reid.evaluation.array_files import open_arrays
from reid.utils import InputError, write_atomically, write_json

logger = logging.getLogger(__name__)

JOB = "job.json"
# Its own files, and what an interrupted write of one leaves.
OWN = (JOB, "part_*.npz", ".job-*.json", ".part_*.npz")


class Part(NamedTuple):
    """What became of some consecutive images; rows are those of all images.

    Args:
        feats: (R, D) float32 features of those that were read.
        rows: (R,) int64 rows of them.
        unreadable: The others.
    """

    feats: NDArray[np.float32]
    rows: NDArray[np.int64]
    unreadable: list[Unreadable]


class Parts:
    """The folder ``<result>.parts``; a file in it is whole or absent.

    Args:
        out: The result that the parts are of.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(f"{out.name}.parts")
        self._job: dict[str, Any] = {}

    def begin(self, job: dict[str, Any], *, resume: bool) -> int:
        """Begin ``job``, or go on with it; the folder is made with the first part.

        Args:
            job: All that decides what the parts hold, as JSON has it.
            resume: Whether to go on with parts that are there.

        Returns:
            How many parts are finished.

        Raises:
            InputError: If there are parts, and they are of another job or not to be gone on with.
        """
        path = self.folder / JOB
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"unfinished results go into {self.folder}, which is no folder; remove it")
        if not self._path(0).is_file():
            if resume:
                logger.info("there is nothing to go on from in %s: beginning anew", self.folder)
            self.remove()  # what a job left that was stopped before its first part or after its last
            self._job = job
            return 0
        if not resume:
            raise InputError(
                f"{self.folder} holds parts of an unfinished extraction; go on with --resume, or delete it"
            )
        before = _read_job(path)
        changed = sorted(key for key in {*job, *before} if job.get(key) != before.get(key))
        if changed:
            raise InputError(
                f"{self.folder} holds parts of an extraction with other {', '.join(changed)}; repeat that"
                " one, name another --out, or delete the folder"
            )
        number = 0
        while self._path(number).is_file():
            number += 1
        return number

    def write(self, number: int, part: Part) -> None:
        """Keep a finished part; they come in order.

        Raises:
            OSError: If it cannot be written.
        """
        if number == 0:
            write_json(self.folder / JOB, self._job)
        with write_atomically(self._path(number)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                features=part.feats,
                rows=part.rows,
                unreadable=np.array([row for row, _ in part.unreadable], np.int64),
                reasons=np.array([reason for _, reason in part.unreadable], str),
            )

    def read(self, number: int) -> Part:
        """A finished part.

        Raises:
            InputError: If its file was damaged.
        """
        found = open_arrays(self._path(number))
        feats, rows, unreadable, reasons = map(found.read, ("features", "rows", "unreadable", "reasons"))
        others = map(Unreadable, unreadable.tolist(), reasons.tolist())
        return Part(feats, rows, list(others))

    def remove(self) -> None:
        """Delete the parts and, where nothing else is in it, the folder."""
        _delete([path for pattern in OWN for path in self.folder.glob(pattern)])
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"part_{number:05d}.npz"


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _read_job(path: Path) -> dict[str, Any]:
    try:
        job = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it is missing, no JSON, or no text
        job = None
    if not isinstance(job, dict):
        raise InputError(f"{path} must say what the parts beside it are of, it is damaged; delete the folder")
    return job

"""What a run is followed by beside its log: metrics.jsonl, TensorBoard, curves, and the time that is left."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from reid.engine.board import Board
from reid.engine.distributed import ALONE, World
from reid.engine.pace import TimeLeft
from reid.engine.run_folder import CURVES, EVENTS, METRICS, RunFolder
from reid.evaluation import draw_curves
from reid.utils.cli import one_line

logger = logging.getLogger(__name__)


class Watch:
    """Takes the rows of a run and hands them to everything that shows them; only the main process writes.

    ``metrics.jsonl`` is the record: where it cannot be written, that is raised. TensorBoard and the curves
    show the same rows, so that their failures are warnings and cost no training.

    Args:
        folder: Of the run, started or resumed.
        left: What the run has done, for the time that is left.
        world: The processes of the run.
    """

    def __init__(self, folder: RunFolder, left: TimeLeft, world: World = ALONE) -> None:
        self.folder, self.left, self.world = folder, left, world
        self.board: Board | None = None

    def open_board(self, resumed: int | None) -> None:
        """Write TensorBoard events too, from here on.

        Args:
            resumed: The epoch behind which an interrupted run goes on; None in a new one.
        """
        if not self.world.is_main:
            return
        with self._sparing_board():
            self.board = Board(self.folder.path / EVENTS, resumed)
        if resumed is not None:
            # All of the epoch is taken back, for its evaluation is repeated. Its training is not.
            for row in self.folder.metrics():
                if row["epoch"] == resumed:
                    self._show(row)

    def add(self, row: dict[str, Any]) -> None:
        """Record an epoch's or an evaluation's figures.

        Raises:
            OSError: If they cannot be appended to ``metrics.jsonl``.
        """
        if self.world.is_main:
            self.folder.add_metrics(row)
            self._show(row)

    def draw(self, title: str, note: str) -> None:
        """Draw the curves of all rows so far, where an epoch is among them."""
        path = self.folder.path / CURVES
        rows = self.folder.metrics() if self.world.is_main else []
        if any("loss" in row for row in rows):
            with sparing(f"no curves in {path}, {METRICS} has their figures"):
                draw_curves(rows, path, title, note)

    def close(self) -> None:
        """End the events."""
        if self.board is not None:
            with self._sparing_board():
                self.board.close()

    def _show(self, row: dict[str, Any]) -> None:
        board, self.board = self.board, None
        if board is not None:
            with self._sparing_board():
                board.add(row)
                self.board = board  # where it has failed it is not tried again

    def _sparing_board(self) -> AbstractContextManager[None]:
        return sparing(f"no TensorBoard events in {self.folder.path / EVENTS}, {METRICS} has their figures")


@contextmanager
def sparing(loss: str) -> Iterator[None]:
    """Tell whatever fails in the block in one warning, and go on.

    Args:
        loss: What there is not for that reason.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - other packages' writers may fail in any way, after hours too
        reason = one_line(str(error)) or type(error).__name__
        logger.warning("%s: %s; the training goes on", loss, reason)

"""The rows of metrics.jsonl as TensorBoard events. Needs tensorboard only when used."""

from pathlib import Path
from typing import Any

from reid.utils import InputError

# Seconds. Each row is flushed here: the writer's own flushes come from a thread that can tell nobody of a
# full disk.
NEVER = 10**6


class Board:
    """Writes rows as scalars, the epoch across.

    An epoch gives ``train/loss``, ``train/<part>``, ``train/lr`` and its other numbers; an evaluation
    ``<data set>/mAP``, ``<data set>/R1`` and its other fractions.

    Args:
        folder: Of the events; made where it is missing.
        redone: The epoch from which on an interrupted run is written again: what it wrote of this epoch and
            of later ones is not shown any more. None in a new run.

    Raises:
        InputError: If tensorboard cannot be imported.
        OSError: If events cannot be written; of the methods too, some only at the next call.
    """

    def __init__(self, folder: Path, redone: int | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(f"tensorboard is missing ({error}): pip install tensorboard") from error
        self.writer = SummaryWriter(str(folder), flush_secs=NEVER, purge_step=redone)

    def add(self, row: dict[str, Any]) -> None:
        """Write one row."""
        for tag, value in scalars_of(row).items():
            self.writer.add_scalar(tag, value, row["epoch"])
        self.writer.flush()

    def close(self) -> None:
        """End the events."""
        self.writer.close()


def scalars_of(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a row of ``metrics.jsonl`` by tag.

    Example:
        >>> scalars_of({"epoch": 3, "phase": "baseline", "loss": 2.5, "lr": 0.1})
        {'train/loss': 2.5, 'train/lr': 0.1}
        >>> scalars_of({"epoch": 3, "dataset": "veri", "evaluation": {"mAP": 0.5, "num_query": 10}})
        {'veri/mAP': 0.5}
    """
    if "evaluation" in row:
        figures = row["evaluation"]
        # Whole numbers are counts, the same in every epoch.
        return {f"{row['dataset']}/{name}": x for name, x in figures.items() if isinstance(x, float)}
    return {f"train/{name}": x for name, x in row.items() if isinstance(x, int | float) and name != "epoch"}

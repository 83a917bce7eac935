"""Where log lines go: the console (stderr) and one file in the run folder."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path

from tqdm import tqdm

LINE = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")


class ConsoleHandler(logging.Handler):
    """Writes lines to stderr above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one formatted record."""
        tqdm.write(self.format(record), file=sys.stderr)


class LateFileHandler(logging.FileHandler):
    """Makes file and folder with the first line: a run that is refused before it leaves none behind."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def setup_logging(folder: Path | None = None, filename: str = "log.txt", rank: int = 0) -> None:
    """Send the log of ``reid`` to stderr and, where a folder is given, to ``folder/filename``.

    Of several processes the first alone writes to stderr, except for warnings, and each has a file of its
    own: ``log.rank1.txt`` for the second. Calling it again replaces what an earlier call set up, so no line
    is written twice.

    Args:
        folder: Made on the first line that is logged.
        filename: Of the file in it.
        rank: Of this process among several, from 0.

    Raises:
        OSError: With the first line, if folder or file cannot be made.
    """
    logger = logging.getLogger("reid")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    console = ConsoleHandler()
    console.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    handlers: list[logging.Handler] = [console]
    if rank:
        filename = f".rank{rank}".join(os.path.splitext(filename))
    if folder is not None:
        handlers.append(LateFileHandler(folder / filename, encoding="utf-8", delay=True))
    for handler in handlers:
        handler.setFormatter(LINE)
        logger.addHandler(handler)


@contextmanager
def say_once() -> Iterator[None]:
    """Drop the lines of the log of ``reid`` that were written in the block before.

    What is built many times over says the same each time, between the lines of a progress bar.
    """
    with ExitStack() as stack:
        for handler in logging.getLogger("reid").handlers:
            is_new = _remember()
            handler.addFilter(is_new)
            stack.callback(handler.removeFilter, is_new)
        yield


def _remember() -> Callable[[logging.LogRecord], bool]:
    """Whether a record says what none before it said."""
    seen: set[tuple[str, str]] = set()

    def is_new(record: logging.LogRecord) -> bool:
        line = (record.name, record.getMessage())
        is_repeated = line in seen
        seen.add(line)
        return not is_repeated

    return is_new

"""One process at a time where two would take each other's files."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from reid.utils.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: nothing is held there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where it is not; it is free again when the block or the process ends.

    Where the file system knows no locks, nothing is held.

    Raises:
        InputError: If another process holds it.
        OSError: If it cannot be made or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # what a file system without locks raises
            _take(handle, folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"another run is at work in {folder}; wait until it has ended, or name another folder"
        ) from error

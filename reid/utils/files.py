"""Files that are either whole or absent: JSON, JSON lines and atomic writes."""

import json
import os
import reprlib
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reid.utils.errors import InputError

STDOUT = 1


def as_path(given: Any) -> Path:
    """A path that was given as text or as a path.

    Raises:
        InputError: If it is anything else, an empty text, or one that no file can have as its name.
    """
    try:
        if isinstance(given, str | Path) and str(given) and b"\0" not in os.fsencode(given):
            return Path(given)
    except UnicodeEncodeError:  # half of a pair of surrogates
        pass
    raise InputError(f"a path must be the text of one, got {reprlib.repr(given)}")


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it to ``path`` when the block ends well.

    A block that raises leaves no file behind, and ``path`` as it was. Parent folders are made. A symbolic
    link stays one: what it points to is replaced.

    Raises:
        InputError: If the path is there and no regular file, or its symbolic links go in a circle.
        OSError: If the folder cannot be written, or the file not to its end.
    """
    path = _follow_links(path)
    if path.exists() and not path.is_file():
        raise InputError(f"only a regular file can be replaced, {path} is another thing; name another file")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _give_default_mode(temporary)
        temporary.replace(path)
    except RuntimeError as error:
        # torch.save finishes its archive on the way out, and that failure hides the one that stopped it.
        if isinstance(error.__context__, OSError):
            raise OSError(error.__context__.errno, error.__context__.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _give_default_mode(path: Path) -> None:
    """Undo mkstemp's owner-only mode, so that the file is as readable as one written plainly."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _follow_links(path: Path) -> Path:
    """The absolute path without symbolic links.

    Raises:
        InputError: If they go in a circle.
    """
    # Python's own Path.resolve raises on a circle in some versions and not in others.
    real = Path(os.path.realpath(path))
    if any(place.is_symlink() for place in (real, *real.parents)):
        raise InputError(f"{path} leads nowhere: its symbolic links go in a circle; name another file")
    return real


def check_writable(path: Path) -> None:
    """Refuse a path that :func:`write_json` could not write, before the work whose results go there.

    Folders that do not exist yet are made when the file is written, so the nearest one that does must be
    writable.

    Raises:
        InputError: If the path is a folder, its symbolic links go in a circle, or something above it is a
            file or cannot be written.
    """
    if path.is_dir():
        raise InputError(f"the results must go to a file, {path} is a folder; name a file in it")
    if is_stream(path):
        writable = path
    else:
        folder = _follow_links(path).parent
        writable = next(place for place in (folder, *folder.parents) if place.exists())
        if not writable.is_dir():
            raise InputError(f"the results must go into a folder, {writable} is a file; name another file")
    if not (os.access(writable, os.W_OK) and (writable == path or _takes_files(writable))):
        raise InputError(
            f"the results must go where they can be written, {writable} cannot; name another file"
        )


def _takes_files(folder: Path) -> bool:
    """Whether a file can be made in a folder; those of /proc say that they can be written and cannot."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def check_output(path: Path, *inputs: Path | None, to_stream: bool = False) -> None:
    """Refuse a path that cannot be written, or that is one of the files that are read or written beside it.

    Args:
        path: Where the results go.
        inputs: The other files; None is none.
        to_stream: Whether the results can also go to a device or a pipe, as :func:`write_json` can.

    Raises:
        InputError: If it is one of them, lies under a file or above one, or is such a stream, or as
            :func:`check_writable`.
    """
    check_writable(path)
    if not to_stream and is_stream(path):
        raise InputError(
            f"the results must go to a regular file, {path} is a device, a pipe or what is printed to; name"
            " another file"
        )
    for other in inputs:
        if other is None:
            continue
        mine, its = Path(os.path.realpath(path)), Path(os.path.realpath(other))
        if mine == its:
            raise InputError(f"{path} is read or written already; the results must go to another file")
        # A folder that is read takes more files.
        if mine in its.parents or (its in mine.parents and not its.is_dir()):
            raise InputError(
                f"{path} and {other} cannot both be files, one lies under the other; name another file"
            )


def short_name(dataset: str) -> str:
    """What people are told of a data set's name: of a list without its folders.

    Example:
        >>> short_name("/data/north/site.csv"), short_name("market1501")
        ('site.csv', 'market1501')
    """
    return dataset.rsplit("/", 1)[-1]


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe, or what this process prints to: written to, never replaced."""
    try:
        status = path.stat()
        return not stat.S_ISREG(status.st_mode) or os.path.samestat(status, os.fstat(STDOUT))
    except OSError:  # it does not exist, or standard output is closed
        return False


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; to a device or a pipe directly.

    Raises:
        ValueError: If ``value`` holds a NaN or an infinity, which JSON cannot express.
        OSError: If the file cannot be written; an older one is then left as it was.
    """
    text = json.dumps(value, indent=2, allow_nan=False)
    if is_stream(path):
        sys.stdout.flush()
        # Appended: standard output may be a file, which holds what was printed so far.
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
        return
    with write_atomically(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append ``row`` to ``path`` as one line of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")

"""Which kind of file weights lie in, told by its content: what cannot be weights is refused here."""

import mmap
import pickletools
import zipfile
from pathlib import Path
from typing import Literal

from reid.utils import InputError

FileKind = Literal["safetensors", "torchscript", "torch"]

MAX_SAFETENSORS_HEADER = 100_000_000  # bytes; safetensors itself reads no longer one
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# torch.save's form before it was a zip archive: this number, then three more pickles, then bare numbers.
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def file_kind(path: Path) -> FileKind:
    """Tell by a file's first bytes what it is; its name does not count.

    Returns:
        ``safetensors``; ``torchscript`` for an archive with a network's code; ``torch`` for what may be of
        ``torch.save``, which only reading it can tell.

    Raises:
        InputError: If the path is missing, no regular file, or cannot be opened; if the file is empty, a web
            page, a Git LFS pointer, a zip archive of other things, or one that is cut short.
    """
    if path.is_dir():
        raise InputError(f"weights must be a file, {path} is a folder; name a file in it")
    if not path.exists():
        raise InputError(f"weights not found: {path} does not exist")
    if not path.is_file():
        raise InputError(f"weights must be a regular file, {path} is a device or a pipe; save it first")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InputError(f"{path} is no readable file of weights: {error.strerror}") from error
    if not start:
        raise InputError(f"{path} is no readable file of weights: it is empty; fetch it again")
    if start.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"<"):
        raise InputError(f"{path} is a web page, not weights; download the file itself")
    if start.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is a Git LFS pointer, not weights; fetch the file itself with git lfs pull")
    if start.startswith(b"PK"):
        return _zip_kind(path)
    # A length in eight bytes, then JSON. No pickle starts so: its first byte would make the length too large.
    is_safetensors = int.from_bytes(start[:8], "little") <= MAX_SAFETENSORS_HEADER and start[8:9] == b"{"
    return "safetensors" if is_safetensors else "torch"


def _zip_kind(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    # NotImplementedError: a directory that asks for a later version of the format.
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"{path} is no readable file of weights: an archive that is cut short or damaged; fetch it again"
        ) from error
    # Everything lies in one folder of the archive, whose name is of no meaning.
    entries = {name.partition("/")[2] for name in names}
    if "constants.pkl" in entries:
        return "torchscript"
    if "data.pkl" not in entries:
        inside = f"it holds {names[0][:60]!r} and {len(names) - 1} more" if names else "it holds nothing"
        raise InputError(f"{path} is a zip archive, not weights: {inside}; unpack it, name a file in it")
    return "torch"


def is_whole_pickle(path: Path) -> bool:
    """Whether a file that is refused as ``torch`` holds pickles from start to end; none of them is executed.

    Text, damaged files and those cut short hold none.
    """
    start = _start_of(path)
    if start.startswith(b"PK"):
        return True  # the archive's own directory was whole
    # Mapped: of a file, a length that was damaged would be allocated before a byte is read.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            for _ in range(4 if start == LEGACY_START else 1):
                for _ in pickletools.genops(content):  # type: ignore[arg-type]  # it reads lines and bytes
                    pass
        except ValueError:
            return False
    return True


def is_of_torch(path: Path) -> bool:
    """Whether a file begins as ``torch.save`` lets one begin."""
    return _start_of(path).startswith((b"PK", LEGACY_START))


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(LEGACY_START))

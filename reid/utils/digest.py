"""A short name for the content of tensors and files: the same bits have the same name."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

CHUNK = 1 << 20


def digest(tensors: Iterable[Tensor]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the bytes of tensors of any shape, in turn."""
    found = hashlib.sha256()
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a file's bytes.

    Raises:
        OSError: If it cannot be read.
    """
    status = path.stat()
    return _of_file(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _of_file(path: Path, *_status: int) -> str:
    """Read once as long as its status stays: weights are gigabytes, and asked for again and again."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()[:16]

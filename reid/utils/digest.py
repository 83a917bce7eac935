"""A short name for the content of tensors and files: the same bits have the same name."""

import hashlib
from collections.abc import Iterable
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
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()[:16]

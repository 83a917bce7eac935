"""Named arrays in ``.npz``, ``.mat`` and ``.pt`` files of any project, read without running their code."""

import math
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reid.evaluation.mat_file import find_matrices, read_matrix
from reid.utils import UNREADABLE, InputError

Array = NDArray[Any]

NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
MOST_PACKED = 1100  # times smaller than its content; deflate reaches 1032
PICKLED = "loading it could run code; save plain arrays of numbers"


@dataclass(frozen=True)
class ArrayFile:
    """What a file of arrays holds by name; an array is read when it is asked for.

    Args:
        path: The file.
        names: Of its arrays.
        read: Gives the array of a name; what the file holds under it may be another thing.
    """

    path: Path
    names: tuple[str, ...]
    read: Callable[[str], Any]


def open_arrays(path: Path) -> ArrayFile:
    """List the arrays of a file whose ending tells its kind: ``.npz``, ``.mat``, ``.pt`` or ``.pth``.

    Raises:
        InputError: If it is missing, a folder, empty, cut short, or of another kind than its ending says, if
            reading it could run code, or if it claims to hold more than it can.
    """
    openers = {".npz": _open_npz, ".mat": _open_mat, ".pt": _open_torch, ".pth": _open_torch}
    opener = openers.get(path.suffix.lower())
    if path.is_dir():
        raise InputError(f"features must be a file, {path} is a folder; name a file in it")
    if not path.exists():
        raise InputError(f"feature file not found: {path} does not exist")
    if opener is None:
        raise InputError(f"a feature file must end in {', '.join(openers)}, got {path}; save it as .npz")
    if not path.is_file():
        raise InputError(f"features must be a regular file, {path} is a device or a pipe; save it first")
    with _refusing(path):
        if path.stat().st_size == 0:
            raise InputError(f"{path} is no readable feature file: it is empty; write it again")
        return opener(path)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Put whatever a reader raises into one line."""
    try:
        with warnings.catch_warnings():
            # On old headers, names that come twice, pickle protocols: what matters is refused by its content.
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except (*UNREADABLE, zlib.error, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} is no readable feature file: it is cut short, damaged or of another kind"
            f" ({words[:120]}); write it again"
        ) from error


def _open_npz(path: Path) -> ArrayFile:
    # Open as long as anyone may ask: of a file that is replaced meanwhile, all arrays are of the old one.
    archive = zipfile.ZipFile(path)
    names = tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    return ArrayFile(path, names, lambda name: _read_npy(archive, path, name))


def _read_npy(archive: zipfile.ZipFile, path: Path, name: str) -> Array:
    with _refusing(path):
        info = archive.getinfo(f"{name}.npy")
        # The header first: what it claims would be allocated before a byte is read.
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            if version not in NPY_HEADERS:
                raise InputError(f"{path}: {name!r} must be a plain array of numbers; save it as one")
            shape, _, dtype = NPY_HEADERS[version](file)
            if dtype.hasobject:
                raise InputError(
                    f"{path}: {name!r} is refused: it holds pickled Python objects, and {PICKLED}"
                )
            claimed, held = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
        if claimed != held or info.file_size > MOST_PACKED * max(info.compress_size, 1):
            raise InputError(
                f"{path}: {name!r} must hold what its header says, a shape of {shape} in {claimed} bytes, it"
                f" cannot; write it again"
            )
        with archive.open(info) as file:
            return np.lib.format.read_array(file, allow_pickle=False)


def _open_mat(path: Path) -> ArrayFile:
    try:
        matrices = find_matrices(path)
    except NotImplementedError as error:
        raise InputError(f"{path} is a MATLAB 7.3 file, which is not read; save it with '-v7'") from error

    def read(name: str) -> Any:
        with _refusing(path):
            return read_matrix(path, matrices[name])

    return ArrayFile(path, tuple(matrices), read)


def _open_torch(path: Path) -> ArrayFile:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # torch reads past checksums.
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
    try:
        # An open file: of a path torch would take the ending for the kind.
        with path.open("rb") as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is refused: it is no plain file of tensors, or it is cut short; loading it could run"
            " code; save a dictionary of tensors, or an .npz file"
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} must hold a dictionary of tensors, got {type(content).__name__}; save one, or .npz"
        )
    size = path.stat().st_size
    values = {str(name): value for name, value in content.items()}

    def read(name: str) -> Any:
        with _refusing(path):
            return _plain(values[name], size, f"{path}: {name!r}")

    return ArrayFile(path, tuple(values), read)


def _plain(value: Any, size: int, at: str) -> Any:
    """A tensor, or a list of numbers or texts, of a file of ``size`` bytes as an array."""
    if isinstance(value, list | tuple) and {type(item) for item in value} in ({int}, {str}):
        return np.asarray(value)
    if not isinstance(value, Tensor):
        return value
    is_plain = value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu"
    if not is_plain or value.numel() * value.element_size() > size:
        raise InputError(
            f"{at} must be a dense tensor whose numbers all lie in the file, got {value.dtype} of shape"
            f" {tuple(value.shape)} on {value.device.type}; save it with .cpu().contiguous().clone()"
        )
    value = value.detach()
    if value.dtype == torch.bfloat16:
        if value.ndim < 2:
            # A column of labels: numpy knows no such type, and 1001 and 1003 are one number in it.
            raise InputError(f"{at} must not be bfloat16, which merges numbers above 256; save int64")
        value = value.float()
    return value.numpy()

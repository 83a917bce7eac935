"""Arrays of numbers in MATLAB files of level 5, as ``scipy.io.savemat`` and ``save -v7`` write them.

A reader of its own, because scipy's ends the process on some damaged files. The format is that of MathWorks'
"MAT-File Format": a header of 128 bytes, then elements, each a tag (type, bytes) and its content, filled up
to a multiple of 8 bytes.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reid.utils import InputError

HEADER = 128
MATRIX, COMPRESSED = 14, 15
DTYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# Of a matrix's class; others are texts, cells, structures, objects and sparse ones.
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
COMPLEX, LOGICAL = 0x0800, 0x0200
OPAQUE = 17  # a class whose objects, such as MATLAB's strings, are described in another way
START = 4096  # bytes of a matrix that hold its class, shape and name


class Element(NamedTuple):
    """Where a matrix lies in the file: its type, and the place and length of its content."""

    kind: int
    start: int
    length: int


def find_matrices(path: Path) -> dict[str, Element]:
    """The matrices of a file by name.

    Raises:
        ValueError: If it is no such file, or cut short.
        NotImplementedError: If it is of level 7.3, which is HDF5.
        InputError: If it holds two of one name.
    """
    found: dict[str, Element] = {}
    with path.open("rb") as file:
        order = _byte_order(file.read(HEADER))
        size = path.stat().st_size
        place = HEADER
        while place < size:
            kind, length = struct.unpack(f"{order}II", file.read(8))
            if kind not in (MATRIX, COMPRESSED) or length > size - place - 8:
                raise ValueError(f"no whole matrix at byte {place}")
            element = Element(kind, place + 8, length)
            content = _content(file, element, order, START)
            if _flags(content, order) & 0xFF != OPAQUE:
                name = _describe(content, order)[2]
                if name in found:
                    raise InputError(f"{path} must hold {name!r} once, it holds it twice; remove one")
                found[name] = element
            file.seek(place := place + 8 + length)
    return found


def read_matrix(path: Path, element: Element) -> NDArray[Any] | None:
    """The numbers of a matrix; None where it holds something else.

    Raises:
        ValueError: If it is cut short, or claims another shape than it holds.
        zlib.error: If its compressed content is damaged.
    """
    with path.open("rb") as file:
        order = _byte_order(file.read(HEADER))
        content = _content(file, element, order)
    flags, shape, _, place = _describe(content, order)
    dtype = CLASSES.get(flags & 0xFF)
    if dtype is None or flags & (COMPLEX | LOGICAL):
        return None
    kind, start, length, _ = _tag(content, place, order)
    stored = np.dtype(order + DTYPES[kind])
    if min(shape) < 0 or math.prod(shape) * stored.itemsize != length or start + length > len(content):
        raise ValueError(f"{length} bytes for a shape of {shape}")
    numbers = np.frombuffer(content, stored, math.prod(shape), start)
    # Whole numbers are stored in as few bytes as hold them.
    return numbers.astype(dtype).reshape(shape, order="F")


def _byte_order(header: bytes) -> str:
    orders = {b"IM": "<", b"MI": ">"}
    if len(header) < HEADER or header[126:128] not in orders:
        raise ValueError("no MATLAB file of level 5")
    order = orders[header[126:128]]
    (version,) = struct.unpack(f"{order}H", header[124:126])
    if version == 0x0200:
        raise NotImplementedError("MATLAB 7.3")
    return order


def _content(file: BinaryIO, element: Element, order: str, most: int = 0) -> bytes:
    """The content of a matrix, without its tag; the first ``most`` bytes at least, 0 for all."""
    file.seek(element.start)
    if element.kind == MATRIX:
        return file.read(min(element.length, most) if most else element.length)
    unpacked = zlib.decompressobj()
    if most:
        return unpacked.decompress(file.read(min(element.length, 2 * most)), most + 8)[8:]
    packed = file.read(element.length)
    head = unpacked.decompress(packed, 8)
    kind, length = struct.unpack(f"{order}II", head)
    if kind != MATRIX:
        raise ValueError("no matrix in a compressed element")
    content = unpacked.decompress(unpacked.unconsumed_tail, length) if length else b""
    # The checksum stands behind the last byte.
    unpacked.decompress(unpacked.unconsumed_tail, 1)
    if len(content) != length or not unpacked.eof:
        raise ValueError("a compressed matrix ends early or late")
    return content


def _describe(content: bytes, order: str) -> tuple[int, tuple[int, ...], str, int]:
    """Flags, shape and name of a matrix, and where its numbers' tag stands."""
    parts, place = [], 0
    for _ in range(3):
        _, start, length, place = _tag(content, place, order)
        if start + length > len(content):
            raise ValueError("a matrix ends in its description")
        parts.append(content[start : start + length])
    _, shape, name = parts
    sides = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    if len(sides) < 2:
        raise ValueError(f"a matrix of shape {sides}")
    return _flags(content, order), sides, name.decode("latin-1"), place


def _flags(content: bytes, order: str) -> int:
    """Of a matrix, its class in the lowest byte."""
    (word,) = struct.unpack_from(f"{order}I", content, 8)
    return int(word)


def _tag(content: bytes, place: int, order: str) -> tuple[int, int, int, int]:
    """Type of the element at ``place``, start and length of its content, and where the next one is."""
    (word,) = struct.unpack_from(f"{order}I", content, place)
    if word >> 16:  # up to four bytes stand in the tag itself
        return word & 0xFFFF, place + 4, word >> 16, place + 8
    (length,) = struct.unpack_from(f"{order}I", content, place + 4)
    return word, place + 8, length, place + 8 + -(-length // 8) * 8

"""MATLAB files as scipy writes them, and damaged ones, on some of which scipy's own reader crashes."""

import random
import struct

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from reid.evaluation.array_files import open_arrays
from reid.evaluation.mat_file import find_matrices, read_matrix
from reid.utils import InputError

KINDS = ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


def drawn():
    rng = np.random.default_rng(0)
    tables = {f"table_{kind}": rng.integers(0, 100, (3, 5)).astype(kind) for kind in KINDS}
    large = {"large": rng.normal(size=(700, 40)), "flat": np.arange(7), "deep": rng.normal(size=(2, 3, 4))}
    return tables | large | {"empty": np.empty((0, 3)), "one": np.float32(3), "x": np.arange(9.0)[:, None]}


@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_are_those_that_scipy_reads(tmp_path, compressed):
    path = tmp_path / "f.mat"
    savemat(path, drawn(), do_compression=compressed)
    found, expected = find_matrices(path), loadmat(path)
    assert sorted(found) == sorted(drawn())
    for name, element in found.items():
        array = read_matrix(path, element)
        assert array.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_no_array_of_numbers_is_listed_and_not_read(tmp_path, compressed):
    others = {
        "text": "abc",
        "cell": np.array(["a", 1], object),
        "struct": {"a": 1},
        "complex": np.array([1j]),
        "truth": np.array([True, False]),
    }
    path = tmp_path / "f.mat"
    savemat(path, others | {"numbers": np.arange(3)}, do_compression=compressed)
    found = find_matrices(path)
    assert sorted(found) == sorted([*others, "numbers"])
    for name in others:
        assert read_matrix(path, found[name]) is None, name
    assert read_matrix(path, found["numbers"]).tolist() == [[0, 1, 2]]


def by_hand(order):
    """One matrix 'ab', 2 x 2 of class double, whose numbers 1 to 4 down the columns are stored as int16."""
    pack = struct.pack
    content = pack(f"{order}IIII", 6, 8, 6, 0) + pack(f"{order}IIii", 5, 8, 2, 2)
    small = pack(f"{order}I", 2 << 16 | 1) + b"ab\0\0"
    numbers = pack(f"{order}IIhhhh", 3, 8, 1, 2, 3, 4)
    matrix = pack(f"{order}II", 14, len(content + small + numbers)) + content + small + numbers
    mark = {"<": b"IM", ">": b"MI"}[order]
    return b"MATLAB 5.0".ljust(124) + pack(f"{order}H", 0x0100) + mark + matrix


@pytest.mark.parametrize("order", "<>")
def test_a_file_by_hand_in_both_byte_orders(tmp_path, order):
    path = tmp_path / "f.mat"
    path.write_bytes(by_hand(order))
    (name, element), *others = find_matrices(path).items()
    array = read_matrix(path, element)
    assert (name, others, array.dtype, array.tolist()) == ("ab", [], np.float64, [[1, 3], [2, 4]])


def test_a_shape_that_is_not_held_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "f.mat"
    content = by_hand("<")
    place = content.index(struct.pack("<ii", 2, 2))
    for shape in ((2**31 - 1, 2**31 - 1), (2, 3), (-2, -2)):
        path.write_bytes(content[:place] + struct.pack("<ii", *shape) + content[place + 8 :])
        with pytest.raises(ValueError, match="bytes for a shape of"):
            read_matrix(path, find_matrices(path)["ab"])


@pytest.mark.parametrize("compressed", [False, True])
def test_no_damage_is_more_than_a_refusal(tmp_path, compressed):
    path, draw = tmp_path / "f.mat", random.Random(0)
    savemat(path, {"query_f": np.arange(12.0).reshape(3, 4), "b": np.arange(3)}, do_compression=compressed)
    whole = path.read_bytes()
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(draw.choice([1, 1, 3])):
            content[draw.randrange(120, len(content))] = draw.choice([0, 255, draw.randrange(256)])
        path.write_bytes(content)
        try:
            arrays = open_arrays(path)
            for name in arrays.names:
                arrays.read(name)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017, most damages are refused and some only change a number

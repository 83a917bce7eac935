"""Feature files: ours to the bit, those of other projects, and one line for what is neither."""

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from scipy.io import savemat

from reid.evaluation.feature_files import (
    check_feature_output,
    read_both_sides,
    read_features,
    with_same_numbers,
    write_features,
)
from reid.evaluation.features import FeatureSet
from reid.utils import InputError

FEATS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
PIDS, CAMIDS = [5, 0, -1, 7], [0, 1, 2, -1]


def columns(**changes):
    found = {"features": FEATS, "pids": np.array(PIDS), "camids": np.array(CAMIDS)} | changes
    return {name: value for name, value in found.items() if value is not None}


def npz(folder, **changes):
    np.savez(folder / "f.npz", **columns(**changes))
    return folder / "f.npz"


def pt(folder, value):
    torch.save(value, folder / "f.pt")
    return folder / "f.pt"


def both(**changes):
    return {
        "gallery_f": FEATS,
        "gallery_label": np.array([PIDS]),
        "gallery_cam": np.array([CAMIDS]),
        "query_f": FEATS[:2] + 1,
        "query_label": np.array([[5, 7]]),
        "query_cam": np.array([[2, 3]], np.uint8),
    } | changes


def refused(path, read=read_features):
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def assert_read(saved, feats=FEATS, pids=PIDS, camids=CAMIDS):
    table = saved.table
    assert table.feats.dtype == torch.float32
    assert np.array_equal(table.feats.numpy(), np.asarray(feats, np.float32))
    assert (table.pids.tolist(), table.camids.tolist()) == (pids, camids)
    assert table.pids.dtype == table.camids.dtype == torch.int64


def ours():
    return FeatureSet(torch.from_numpy(FEATS), torch.tensor(PIDS), torch.tensor(CAMIDS))


def test_what_is_written_is_read_to_the_bit_and_holds_plain_arrays(tmp_path):
    paths = np.array(["a.jpg", "b/ü.jpg", "c.jpg", "d d.jpg"])
    write_features(tmp_path / "f.npz", ours(), paths)
    saved = read_features(tmp_path / "f.npz")
    assert_read(saved)
    assert saved.paths.tolist() == paths.tolist()
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        kinds = {name: (arrays[name].dtype.kind, arrays[name].dtype.itemsize) for name in arrays}
        shapes = {name: arrays[name].shape for name in arrays}
    assert kinds == {"features": ("f", 4), "paths": ("U", 28), "pids": ("i", 8), "camids": ("i", 8)}
    assert shapes == {"features": (4, 3), "paths": (4,), "pids": (4,), "camids": (4,)}


def test_the_same_arrays_give_the_same_bytes_and_replace_an_older_file(tmp_path):
    paths = np.array(list("abcd"))
    for name in ("one.npz", "two.npz", "two.npz"):
        write_features(tmp_path / name, ours(), paths)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_a_failed_write_leaves_the_older_file_and_nothing_beside_it(tmp_path, monkeypatch):
    write_features(tmp_path / "f.npz", ours(), np.array(list("abcd")))
    before = (tmp_path / "f.npz").read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reid.evaluation.feature_files.np.savez", fail)
    with pytest.raises(OSError, match="No space"):
        write_features(tmp_path / "f.npz", ours(), np.array(list("abcd")))
    assert (tmp_path / "f.npz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floats_become_float32(tmp_path, dtype):
    feats = FEATS.astype(dtype)
    assert_read(read_features(npz(tmp_path, features=feats)), feats)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, ">i4", np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4)])
def test_whole_numbers_of_any_type_and_lying_either_way_are_labels(tmp_path, dtype, shape):
    pids, camids = (np.array(column, dtype).reshape(shape) for column in (PIDS, CAMIDS))
    assert_read(read_features(npz(tmp_path, pids=pids, camids=camids)))


@pytest.mark.parametrize(
    ("features", "pids", "camids"),
    [("feats", "pid", "camid"), ("feat", "labels", "cams"), ("embeddings", "ids", "cameras")],
)
def test_names_of_other_projects(tmp_path, features, pids, camids):
    np.savez(tmp_path / "f.npz", **{features: FEATS, pids: PIDS, camids: CAMIDS, "other": [None]})
    saved = read_features(tmp_path / "f.npz")
    assert_read(saved)
    assert saved.paths is None


def test_a_compressed_file(tmp_path):
    np.savez_compressed(tmp_path / "f.npz", **columns(features=np.zeros((4, 100_000), np.float32)))
    assert_read(read_features(tmp_path / "f.npz"), np.zeros((4, 100_000)))


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".pt"])
def test_both_sides_in_one_file(tmp_path, suffix):
    path = tmp_path / f"both{suffix}"
    if suffix == ".mat":
        savemat(path, both(mquery_f=FEATS))
    elif suffix == ".npz":
        np.savez(path, **both())
    else:
        torch.save({name: torch.from_numpy(value) for name, value in both().items()}, path)
    query, gallery = read_both_sides(path)
    assert_read(query, FEATS[:2] + 1, [5, 7], [2, 3])
    assert_read(gallery)
    assert (query.source, gallery.source) == (f"{path} (query)", f"{path} (gallery)")
    assert "holds gallery_f" not in refused(path)
    assert "pass it as --features" in refused(path)


def test_short_names_of_both_sides(tmp_path):
    names = {"qf": FEATS, "q_pids": PIDS, "q_camids": CAMIDS, "gf": FEATS, "g_pids": PIDS, "g_camids": CAMIDS}
    np.savez(tmp_path / "f.npz", **names)
    for side in read_both_sides(tmp_path / "f.npz"):
        assert_read(side)


def test_a_dictionary_of_tensors_and_lists(tmp_path):
    feats = torch.from_numpy(FEATS).bfloat16()
    value = {"feats": feats, "pids": torch.tensor(PIDS, dtype=torch.int32), "camids": CAMIDS}
    saved = read_features(pt(tmp_path, value | {"paths": list("abcd")}))
    assert_read(saved, feats.float().numpy())
    assert saved.paths.tolist() == list("abcd")


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feats": FEATS}, "must hold features once, it holds 'features' and 'feats'"),
        ({"label": np.array(PIDS)}, "must hold pids once, it holds 'pids' and 'label'"),
        ({"cams": np.array(CAMIDS)}, "must hold camids once, it holds 'camids' and 'cams'"),
        ({"features": None}, "must hold features (or feats and the like), it holds 'pids', 'camids'"),
        ({"pids": None}, "must hold pids"),
        ({"camids": None}, "must hold camids"),
        ({"features": FEATS[0]}, "got float32 of shape (3,)"),
        ({"features": FEATS[None]}, "got float32 of shape (1, 4, 3)"),
        ({"features": FEATS[:0], "pids": [], "camids": []}, "at least one row"),
        ({"features": FEATS[:, :0]}, "got float32 of shape (4, 0)"),
        ({"features": FEATS.astype(int)}, "got int64 of shape"),
        ({"features": FEATS.astype(np.longdouble)}, "in float16, float32 or float64"),
        ({"features": FEATS.astype(complex)}, "got complex128 of shape"),
        ({"features": FEATS.astype(str)}, "got <U"),
        ({"features": np.where(FEATS > 1, np.nan, FEATS)}, "2 of 4 rows hold NaN"),
        ({"features": np.where(FEATS > 1.5, np.inf, FEATS)}, "1 of 4 rows hold NaN, infinity"),
        ({"features": FEATS.astype(float) * 1e300}, "too large numbers"),
        ({"features": FEATS.astype(object)}, "'features' is refused: it holds pickled Python objects"),
        ({"pids": np.array([*PIDS[:3], None])}, "'pids' is refused: it holds pickled Python objects"),
        ({"paths": np.array(["a"], object)}, "'paths' is refused: it holds pickled Python objects"),
        ({"paths": np.array(["a"])}, "must be 4 texts"),
        ({"paths": np.arange(4)}, "must be 4 texts"),
        ({"pids": PIDS[:3]}, "one number for each of the 4 feature rows, got shape (3,)"),
        ({"camids": [*CAMIDS, 1]}, "one number for each of the 4 feature rows, got shape (5,)"),
        ({"camids": np.zeros((2, 2), int)}, "got shape (2, 2)"),
        ({"pids": 3}, "got shape ()"),
        ({"pids": np.array([1.5, 0, 0, 0])}, "whole numbers"),
        ({"pids": np.array([np.nan, 0, 0, 0])}, "whole numbers"),
        ({"pids": np.array([np.inf, 0, 0, 0])}, "whole numbers"),
        ({"pids": np.array([2049, 0, 0, 0], np.float16)[[0, 1, 2, 3]] + 2000}, "holds exactly"),
        ({"pids": np.array(list("abcd"))}, "whole numbers"),
        ({"pids": np.ones(4, bool)}, "whole numbers"),
        ({"pids": np.array([2**63, 0, 0, 0], np.uint64)}, "in 64 bits, got 9223372036854775808"),
        ({"camids": [0, 1, -2, 0]}, "must be -1 (unknown) or more, in 64 bits, got -2"),
        ({"pids": np.zeros(4, [("id", int)])}, "whole numbers"),
        ({"pids": np.zeros(4, [("列", int)])}, "must be a plain array of numbers"),
    ],
)
def test_wrong_columns_are_refused_in_one_line(tmp_path, changes, message):
    assert message in refused(npz(tmp_path, **changes))


def test_wrong_sides_are_refused(tmp_path):
    assert "must hold two sides" in refused(npz(tmp_path), read_both_sides)
    path = tmp_path / "half.mat"
    savemat(path, {name: value for name, value in both().items() if name.startswith("query")})
    assert "must hold gallery_features" in refused(path, read_both_sides)
    savemat(path, both(query_label=np.array(["a", "b"], object)))
    assert "whole numbers" in refused(path, read_both_sides)
    savemat(path, both(query_f=np.array([[1, "a"], [2, "b"]], object)))
    assert "must be a table of features" in refused(path, read_both_sides)


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".pt", ".pth"])
def test_files_that_are_none_are_refused(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    assert "does not exist" in refused(path)
    for content in (
        b"",
        b"\0" * 300,
        b"PK\3\4",
        b"<html>not found</html>",
        b"version https://git-lfs",
        bytes(range(256)) * 9,
    ):
        path.write_bytes(content)
        assert "no readable feature file" in refused(path) or "is refused" in refused(path)
    path.write_bytes(b"")
    assert "it is empty" in refused(path)
    path.unlink()
    path.mkdir()
    assert "is a folder" in refused(path)


@pytest.mark.parametrize("suffix", [".npz", ".mat", ".pt"])
def test_files_that_are_cut_short_anywhere_are_refused(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    if suffix == ".npz":
        np.savez_compressed(path, **both())
    elif suffix == ".mat":
        savemat(path, both(), do_compression=True)
    else:
        torch.save({name: torch.from_numpy(value) for name, value in both().items()}, path)
    content = path.read_bytes()
    for length in range(1, len(content) - 1, max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        refused(path, read_both_sides)


def test_damaged_bytes_are_refused(tmp_path):
    path = npz(tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(FEATS.tobytes())
    content[place] ^= 255
    path.write_bytes(content)
    assert "no readable feature file" in refused(path)


def test_other_endings_pipes_and_lists_are_refused(tmp_path):
    (tmp_path / "f.csv").write_text("1,2\n")
    assert "must end in .npz, .mat, .pt, .pth" in refused(tmp_path / "f.csv")
    os.mkfifo(tmp_path / "pipe.npz")
    assert "is a device or a pipe" in refused(tmp_path / "pipe.npz")
    assert "must hold a dictionary of tensors, got list" in refused(pt(tmp_path, [torch.ones(2, 2)]))
    assert "got dict" in refused(pt(tmp_path, columns(features={"a": 1}, pids=PIDS, camids=CAMIDS)))


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of a file was run')",))


def test_code_in_a_file_is_never_run(tmp_path):
    assert "could run" in refused(pt(tmp_path, {"features": Evil()}))
    assert "could run" in refused(npz(tmp_path, features=np.array([Evil()], object)))
    for suffix in (".npz", ".mat", ".pt"):
        path = tmp_path / f"pickle{suffix}"
        path.write_bytes(pickle.dumps(Evil()))
        refused(path)


def claim(path, shape, packed=zipfile.ZIP_STORED):
    """Features whose header claims a shape that the 48 bytes behind it do not have."""
    header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    np.savez(path, **columns(features=None))
    with zipfile.ZipFile(path, "a", packed) as archive:
        archive.writestr("features.npy", b"\x93NUMPY\1\0" + struct.pack("<H", 118) + header + FEATS.tobytes())
    return path


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(10**12, 512), (4, 4), (2, 3), (-4, 3), (10**30, 3)])
def test_claims_that_the_file_does_not_hold_are_refused_before_memory_is_taken(tmp_path, shape, packed):
    assert "must hold what its header says" in refused(claim(tmp_path / "f.npz", shape, packed))
    assert_read(read_features(claim(tmp_path / "g.npz", (4, 3), packed)))


def test_tensors_that_claim_more_than_their_file_holds_are_refused(tmp_path):
    feats = torch.ones(1).expand(10**9, 512)
    assert "whose numbers all lie in the file" in refused(
        pt(tmp_path, {"features": feats, "pids": [1], "camids": [1]})
    )
    sparse = torch.eye(4).to_sparse()
    assert "dense tensor" in refused(pt(tmp_path, {"features": sparse, "pids": PIDS, "camids": CAMIDS}))


def test_matlab_7_3_is_told(tmp_path):
    import h5py

    with h5py.File(tmp_path / "f.mat", "w", userblock_size=512) as file:
        file["query_f"] = FEATS
    with (tmp_path / "f.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM")
    assert "save it with '-v7'" in refused(tmp_path / "f.mat", read_both_sides)


def test_features_are_written_as_npz_alone(tmp_path):
    check_feature_output(tmp_path / "f.npz", None)
    for path, message in (
        (tmp_path / "f.pt", "name f.npz"),
        (tmp_path / "f", "name f.npz"),
        (tmp_path, "name"),
    ):
        with pytest.raises(InputError, match=message):
            check_feature_output(path)
    with pytest.raises(InputError, match="read or written already"):
        check_feature_output(tmp_path / "f.npz", tmp_path / "f.npz")


def test_a_mat_file_with_two_of_one_name_is_refused(tmp_path):
    savemat(tmp_path / "f.mat", both())
    savemat(tmp_path / "other.mat", {"query_f": FEATS + 1})
    with (tmp_path / "f.mat").open("ab") as file:
        file.write((tmp_path / "other.mat").read_bytes()[128:])  # behind its header
    assert "must hold 'query_f' once" in refused(tmp_path / "f.mat", read_both_sides)


def test_bfloat16_features_are_read_and_labels_are_not(tmp_path):
    columns = {
        "feats": torch.ones(3, 2).bfloat16(),
        "pids": torch.tensor([1001, 1003, 1]),
        "camids": torch.zeros(3).long(),
    }
    torch.save(columns, tmp_path / "f.pt")
    assert read_features(tmp_path / "f.pt").table.pids.tolist() == [1001, 1003, 1]
    torch.save(columns | {"pids": columns["pids"].bfloat16()}, tmp_path / "f.pt")
    assert "'pids' must not be bfloat16" in refused(tmp_path / "f.pt")


def test_half_precision_labels_are_read_without_a_word(tmp_path, recwarn):
    columns = {
        "feats": FEATS,
        "pids": np.arange(len(FEATS), dtype=np.float16),
        "camids": np.zeros(len(FEATS), int),
    }
    np.savez(tmp_path / "f.npz", **columns)
    assert read_features(tmp_path / "f.npz").table.pids.tolist() == list(range(len(FEATS)))
    assert not recwarn


def test_a_torch_file_with_a_flipped_bit_in_its_numbers_is_refused(tmp_path):
    path = tmp_path / "f.pt"
    feats = torch.arange(12.0).reshape(4, 3)
    torch.save({"feats": feats, "pids": torch.arange(4), "camids": torch.arange(4)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(feats.numpy().tobytes()) + 5] ^= 1
    path.write_bytes(bytes(content))
    assert "checksum" in refused(path)


def named(tmp_path, name, texts, pids):
    table = FeatureSet(torch.randn(len(pids), 2), torch.tensor(pids), torch.zeros(len(pids)).long())
    write_features(tmp_path / name, table, np.array(["a.jpg"] * len(pids)), texts)
    return read_features(tmp_path / name)


def test_identities_that_are_texts_meet_by_their_texts(tmp_path):
    query = named(tmp_path, "q.npz", ("car 7", "van 1"), [1, 0, -1])
    gallery = named(tmp_path, "g.npz", ("bus 2", "car 7", "van 1"), [0, 1, 2, -1])
    assert query.identities == ("car 7", "van 1")
    query, gallery = with_same_numbers(query, gallery)
    assert query.table.pids.tolist() == [2, 1, -1]
    assert gallery.table.pids.tolist() == [0, 1, 2, -1]
    assert query.identities == gallery.identities == ("bus 2", "car 7", "van 1")


def test_texts_and_numbers_do_not_meet(tmp_path):
    sides = named(tmp_path, "q.npz", ("car 7",), [0]), named(tmp_path, "g.npz", (), [0])
    for pair in (sides, sides[::-1]):
        with pytest.raises(InputError, match=r"q\.npz has texts such as 'car 7', .*g\.npz has numbers"):
            with_same_numbers(*pair)


@pytest.mark.parametrize(
    "texts", [np.array(["a"]), np.array(["a", "a"]), np.arange(2), np.array([["a", "b"]])]
)
def test_wrong_names_of_identities_are_refused(tmp_path, texts):
    columns = {"features": FEATS[:2], "pids": [0, 1], "camids": [0, 0], "identity_names": texts}
    np.savez(tmp_path / "f.npz", **columns)
    assert "'identity_names' must" in refused(tmp_path / "f.npz")

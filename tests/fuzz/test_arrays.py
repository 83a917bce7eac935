"""Files of arrays that are whole and hold something else: features, galleries, denoisers, statistics."""

import contextlib

import numpy as np
import pytest
import torch
from fuzzing import FEW, LEAVES, features, gallery, read_or_refuse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import savemat

from reid.adaptation import CameraNoiseDenoiser, load_denoiser, save_denoiser
from reid.denoise import attach_denoisers, gather_statistics, load_statistics, save_statistics
from reid.evaluation.feature_files import read_features
from reid.retrieval import Gallery

DTYPES = st.sampled_from(["f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?", "c8", "U3", "S2", "M8[s]"])
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))
NUMBERS = hnp.arrays("f8", hnp.array_shapes(max_dims=2), elements=st.floats(width=64))


def denoiser(path):
    save_denoiser(path, CameraNoiseDenoiser(np.eye(3), np.zeros(3), {0: np.ones(3)}, np.ones(3), 10))


KINDS = {
    "features": (features, read_features),
    "gallery": (gallery, Gallery.load),
    "denoiser": (denoiser, load_denoiser),
}


@pytest.mark.parametrize("kind", KINDS)
@given(draw=st.data())
@FEW
def test_an_array_is_another_or_of_objects_or_missing(tmp_path, kind, draw):
    write, read = KINDS[kind]
    write(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as found:
        arrays = dict(found)
    name = draw.draw(st.sampled_from([*arrays, "other"]))
    other = draw.draw(ARRAYS | NUMBERS | LEAVES.map(lambda leaf: np.array([leaf], object)) | st.none())
    arrays = arrays | {name: other}
    np.savez(tmp_path / "a.npz", **{key: array for key, array in arrays.items() if array is not None})
    read_or_refuse(read, tmp_path / "a.npz")


@given(
    names=st.lists(st.sampled_from(["features", "feats", "labels", "cams", "query_f", "gallery_f", "ids"])),
    draw=st.data(),
)
@FEW
def test_feature_files_of_other_projects(tmp_path, names, draw):
    arrays = {name: draw.draw(ARRAYS.filter(lambda array: array.dtype.kind != "M")) for name in names}
    savemat(tmp_path / "a.mat", arrays)
    read_or_refuse(read_features, tmp_path / "a.mat")
    numbers = {
        name: torch.as_tensor(a) for name, a in arrays.items() if a.dtype.kind in "fiu" and a.dtype != "u8"
    }
    torch.save(numbers | {"other": draw.draw(LEAVES)}, tmp_path / "a.pt")
    read_or_refuse(read_features, tmp_path / "a.pt")


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    path = tmp_path_factory.mktemp("statistics") / "s.pt"
    model = attach_denoisers(torch.nn.Linear(4, 2), ".*")
    save_statistics(gather_statistics(model, torch.randn(9, 4)), path, of="these")
    load_statistics(path)
    return path.read_bytes()


@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6))
@FEW
def test_changed_statistics(tmp_path, statistics, places):
    content = bytearray(statistics)
    for place, value in places:
        content[int(place * len(content))] = value
    (tmp_path / "s.pt").write_bytes(content)
    # ``reid.denoise`` knows no InputError: a ValueError is its refusal.
    with contextlib.suppress(ValueError):
        load_statistics(tmp_path / "s.pt")

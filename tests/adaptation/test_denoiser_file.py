"""A fitted denoiser through a file: bit for bit, and one line for whatever else the file holds."""

from dataclasses import replace

import numpy as np
import pytest
from sites import site

from reid.adaptation import CameraNoiseDenoiser, fit_camera_noise, load_denoiser, save_denoiser
from reid.utils import InputError


def denoiser(cameras=(3, 2**40), length=None):
    rng = np.random.default_rng(0)
    means = {camera: rng.normal(size=4) for camera in cameras}
    weight = rng.normal(size=(4, 4))
    return CameraNoiseDenoiser(
        weight @ weight.T + np.eye(4), rng.normal(size=4), means, np.ones(4), 7, length
    )


@pytest.mark.parametrize("cameras", [(), (5,), (3, 2**40), (2**40, 3)])
@pytest.mark.parametrize("length", [None, 0.1])
def test_every_number_comes_back_bit_for_bit(tmp_path, cameras, length):
    saved = denoiser(cameras, length)
    save_denoiser(tmp_path / "d.npz", saved)
    loaded = load_denoiser(tmp_path / "d.npz")
    for name in ("weight", "mean", "noise_spectrum"):
        assert getattr(loaded, name).dtype == np.float64
        np.testing.assert_array_equal(getattr(loaded, name), getattr(saved, name))
    assert set(loaded.camera_means) == set(cameras)
    for camera in cameras:
        np.testing.assert_array_equal(loaded.camera_means[camera], saved.camera_means[camera])
    assert (loaded.num_pairs, loaded.length) == (7, length)


def test_a_loaded_denoiser_gives_the_same_features(tmp_path):
    pytest.importorskip("faiss")
    features, camids, _ = site(ids=30)
    fitted = fit_camera_noise(features, camids, mean_per_camera=True)
    save_denoiser(tmp_path / "d.npz", fitted)
    again = load_denoiser(tmp_path / "d.npz").apply(features, camids)
    np.testing.assert_array_equal(again, fitted.apply(features, camids))


def test_the_map_for_features_without_cameras_comes_back_too(tmp_path):
    alone = denoiser((), 0.3)
    save_denoiser(tmp_path / "d.npz", replace(denoiser((3, 5)), without_cameras=alone))
    loaded = load_denoiser(str(tmp_path / "d.npz")).without_cameras
    np.testing.assert_array_equal(loaded.weight, alone.weight)
    assert (loaded.camera_means, loaded.length, loaded.without_cameras) == ({}, 0.3, None)


def test_a_map_without_cameras_of_another_width_is_refused(tmp_path):
    other = CameraNoiseDenoiser(np.eye(5), np.zeros(5), {}, np.ones(5), 1)
    save_denoiser(tmp_path / "d.npz", replace(denoiser(), without_cameras=other))
    refused(tmp_path / "d.npz")


def test_the_same_denoiser_gives_the_same_bytes(tmp_path):
    save_denoiser(tmp_path / "a.npz", denoiser((3, 9)))
    backwards = denoiser((3, 9))
    backwards = CameraNoiseDenoiser(
        **vars(backwards) | {"camera_means": dict(reversed(backwards.camera_means.items()))}
    )
    save_denoiser(tmp_path / "b.npz", backwards)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_an_older_file_is_replaced_and_nothing_else_is_left(tmp_path):
    save_denoiser(tmp_path / "d.npz", denoiser())
    save_denoiser(tmp_path / "d.npz", denoiser(()))
    assert load_denoiser(tmp_path / "d.npz").camera_means == {}
    assert [path.name for path in tmp_path.iterdir()] == ["d.npz"]


def refused(path):
    with pytest.raises(InputError, match="must hold a denoiser of this version") as caught:
        load_denoiser(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "d.npz").write_bytes(content)
    refused(tmp_path / "d.npz")


def test_an_array_alone_and_features_are_refused(tmp_path):
    np.save(tmp_path / "d.npy", np.ones(3))
    refused(tmp_path / "d.npy")
    np.savez(tmp_path / "d.npz", features=np.ones((2, 3)))
    refused(tmp_path / "d.npz")


def test_code_in_a_file_does_not_run(tmp_path):
    np.savez(tmp_path / "d.npz", kind=np.array([object()], object))
    refused(tmp_path / "d.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", np.array("reid.adaptation denoiser 2")),
        ("weight", np.eye(3)),
        ("weight", np.full((4, 4), np.nan)),
        ("weight", np.full((4, 4), "a")),
        ("mean", np.full(4, np.inf)),
        ("mean", np.ones((4, 1))),
        ("weight", np.eye(4, dtype=np.float32)),
        ("weight", np.eye(4) + 1e-3 * np.eye(4, k=1)),
        ("cameras", np.arange(3)),
        ("cameras", np.array([3, 3])),
        ("cameras", np.array([-1, 3])),
        ("cameras", np.array([3.5, 4])),
        ("num_pairs", np.array(0)),
        ("num_pairs", np.array(1.5)),
        ("camera_means", np.ones((2, 5))),
        ("noise_spectrum", np.full(4, np.nan)),
        ("num_pairs", np.arange(2)),
        ("length", np.array(0.0)),
        ("length", np.array(np.inf)),
    ],
)
def test_numbers_that_make_no_denoiser_are_refused(tmp_path, name, value):
    save_denoiser(tmp_path / "d.npz", denoiser())
    with np.load(tmp_path / "d.npz") as found:
        columns = dict(found) | {name: value}
    np.savez(tmp_path / "d.npz", **columns)
    refused(tmp_path / "d.npz")
    del columns[name]
    np.savez(tmp_path / "d.npz", **columns)
    refused(tmp_path / "d.npz")


def test_damaged_bytes_are_refused_or_change_nothing(tmp_path):
    path, rng = tmp_path / "d.npz", np.random.default_rng(0)
    save_denoiser(path, denoiser())
    whole = path.read_bytes()
    for trial in range(400):
        damaged = bytearray(whole[: rng.integers(len(whole))] if trial % 4 == 0 else whole)
        for place in rng.integers(len(damaged), size=2 if damaged else 0):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            found = load_denoiser(path)
        except InputError:
            continue
        np.testing.assert_array_equal(found.weight, denoiser().weight)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_denoiser(tmp_path / "none.npz")

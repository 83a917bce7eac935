"""A fitted denoiser in a file, for feature files and for services that keep their own features."""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.camera_noise import CameraNoiseDenoiser
from reid.utils import UNREADABLE, InputError, write_atomically

KIND = "reid.adaptation denoiser 1"
INTEGER = np.dtype(np.int64)
LARGEST = 1e30
ONE_MEAN = "one_mean_"  # begins the names of the map for features without cameras


def save_denoiser(path: Path, denoiser: CameraNoiseDenoiser) -> None:
    """Write ``.npz``, atomically; the same denoiser gives the same bytes.

    Raises:
        OSError: If the file cannot be written; an older one is then left as it was.
    """
    columns = {"kind": np.array(KIND), **_columns(denoiser)}
    if denoiser.without_cameras is not None:
        own = _columns(denoiser.without_cameras)
        columns |= {f"{ONE_MEAN}{name}": column for name, column in own.items()}
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns)  # type: ignore[arg-type]  # its other options are no column's names


def _columns(denoiser: CameraNoiseDenoiser) -> dict[str, NDArray[Any]]:
    cameras = sorted(denoiser.camera_means)
    means = [denoiser.camera_means[camera] for camera in cameras]
    return {
        "weight": denoiser.weight,
        "mean": denoiser.mean,
        "cameras": np.array(cameras, np.int64),
        "camera_means": np.array(means, np.float64).reshape(len(means), len(denoiser.mean)),
        "noise_spectrum": denoiser.noise_spectrum,
        "num_pairs": np.array(denoiser.num_pairs),
        "length": np.array(np.nan if denoiser.length is None else denoiser.length),
    }


def load_denoiser(path: str | Path) -> CameraNoiseDenoiser:
    """Read what :func:`save_denoiser` wrote; nothing in the file can run.

    Raises:
        OSError: If the file cannot be read.
        InputError: If it holds anything else.
    """
    with Path(path).open("rb") as file:
        # numpy leaves a damaged file of a path open.
        try:
            with np.load(file, allow_pickle=False) as found:
                if str(found["kind"]) == KIND:
                    return _read_both({name: found[name] for name in found.files})
        except (*UNREADABLE, zlib.error, zipfile.BadZipFile):
            pass
    raise InputError(f"{path} must hold a denoiser of this version, it does not; fit it anew")


def _read_both(columns: dict[str, NDArray[Any]]) -> CameraNoiseDenoiser:
    """The denoiser, with the map for features without cameras where there is one."""
    own = {name.removeprefix(ONE_MEAN): columns[name] for name in columns if name.startswith(ONE_MEAN)}
    denoiser, alone = _read(columns), _read(own) if own else None
    if alone is not None and len(alone.mean) != len(denoiser.mean):
        raise ValueError("widths")
    return replace(denoiser, without_cameras=alone)


def _is_length(length: float) -> bool:
    """Whether features can be divided by it; NaN stands for none."""
    return bool(np.isnan(length)) or 1 / LARGEST <= length <= LARGEST


def _read(found: dict[str, NDArray[np.generic]]) -> CameraNoiseDenoiser:
    arrays = [found[name] for name in ("weight", "mean", "camera_means", "noise_spectrum")]
    cameras, num_pairs, length = found["cameras"], found["num_pairs"], float(found["length"])
    if any(array.dtype != np.float64 for array in arrays) or {cameras.dtype, num_pairs.dtype} != {INTEGER}:
        raise ValueError("types")
    weight, mean, means, spectrum = (array.astype(np.float64) for array in arrays)
    shapes = (weight.shape, spectrum.shape, means.shape[1:])
    if shapes != (2 * mean.shape, mean.shape, mean.shape) or mean.ndim != 1 or len(mean) == 0:
        raise ValueError("shapes")
    # Features are float32: what that cannot hold would make them NaN.
    if not all((np.abs(array) <= LARGEST).all() for array in arrays) or not _is_length(length):
        raise ValueError("numbers")
    if not np.allclose(weight, weight.T, rtol=0, atol=1e-9 * np.abs(weight).max()) or int(num_pairs) < 1:
        raise ValueError("map")
    np.linalg.cholesky(weight)  # raises where it is not positive definite
    numbers = [int(camera) for camera in cameras]
    if len(set(numbers)) < len(numbers) or min(numbers, default=0) < 0:
        raise ValueError("cameras")
    return CameraNoiseDenoiser(
        weight,
        mean,
        dict(zip(numbers, means, strict=True)),
        spectrum,
        int(num_pairs),
        None if np.isnan(length) else length,
    )

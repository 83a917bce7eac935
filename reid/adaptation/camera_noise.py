"""Camera-noise denoising: whiten what changes when another camera sees the same identity.

    S_n = mean over pairs (x_i - x_j)(x_i - x_j)^T / 2      the noise, from pairs of two cameras
    A   = (S_n + r trace(S_n)/d I)^(-1/2)
    x  -> A (x - mu), then L2-normalised

It whitens the noise and leaves the signal: compare WCCN (Hatch et al., 2006) and whitening learned from
matching pairs (Mikolajczyk & Matas, 2007). A Wiener filter, which shrinks the signal too, lowers mAP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.noise import Noise, check_numbers, measure_noise
from reid.adaptation.pairs import Features, Indices
from reid.adaptation.scaling import CHUNK, scale
from reid.utils import InputError


@dataclass(frozen=True, eq=False)
class CameraNoiseDenoiser:
    """One linear map of embeddings that are L2-normalised, or divided by one length.

    Args:
        weight: (D, D) float64, A; symmetric and positive definite.
        mean: (D,) float64, mu.
        camera_means: Where each camera has a mean of its own, camera to (D,); else empty.
        noise_spectrum: (D,) float64 eigenvalues of S_n, largest first.
        num_pairs: P.
        length: L, where all embeddings are divided by one length, so that the map is affine; None where each
            is divided by its own.
        without_cameras: The map with one mean, for features whose cameras are unknown; None where this one
            serves. It whitens the offsets of cameras, which a map with camera means leaves in.
    """

    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    camera_means: Mapping[int, NDArray[np.float64]]
    noise_spectrum: NDArray[np.float64]
    num_pairs: int
    length: float | None = None
    without_cameras: CameraNoiseDenoiser | None = None

    def apply(self, features: Features, camids: Indices | None = None) -> Features:
        """Denoise embeddings.

        Args:
            features: (N, D) as the model gives them; of any scale where ``length`` is None.
            camids: (N,) cameras, whole numbers, below 0 where unknown; None where none is known. A feature of
                unknown camera goes through ``without_cameras`` where there is one; a camera that is known but
                was not seen when fitting takes the overall mean.

        Returns:
            (N, D) float32 of unit length; zero where a feature is the mean itself.

        Raises:
            InputError: If the width or the number of cameras is another one, a camera is no whole number, a
                value is not finite, or a feature is zero.
        """
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise InputError(f"features must be (N, {len(self.mean)}), got {features.shape}")
        camids = check_numbers("camera", camids, len(features))
        if not len(features):
            return np.empty(features.shape, np.float32)
        if self.without_cameras is None:
            return self._map(features, camids)
        if camids is None or (camids < 0).all():
            return self.without_cameras.apply(features)
        denoised = self._map(features, camids)
        if (camids < 0).any():
            denoised[camids < 0] = self.without_cameras.apply(features[camids < 0])
        return denoised

    def _map(self, features: Features, camids: Indices | None) -> Features:
        """This map, of cameras without a mean around the overall one."""
        weight, mean = self.weight.T.astype(np.float32), self.mean.astype(np.float32)
        denoised = np.empty(features.shape, np.float32)
        for start in range(0, len(features), CHUNK):
            rows = slice(start, start + CHUNK)
            centred = scale(features[rows], self.length, first_row=start) - mean
            if camids is not None:
                for camera, own in self.camera_means.items():
                    centred[camids[rows] == camera] += (self.mean - own).astype(np.float32)
            mapped = centred @ weight
            lengths = np.linalg.norm(mapped.astype(np.float64), axis=1, keepdims=True)
            denoised[rows] = mapped / lengths.clip(min=np.finfo(np.float32).tiny)
        return denoised


def fit_camera_noise(
    features: Features, camids: Indices | None, *, shrinkage: float = 3.0, **options: Any
) -> CameraNoiseDenoiser:
    """Fit the map on unlabelled images.

    Args:
        features: (N, D) embeddings of any scale.
        camids: (N,) cameras; None pairs mutual neighbours of any camera, which gains about half as much.
        shrinkage: r, the share of the noise's mean variance that is added in every direction, at least 0.001.
        options: ``k``, ``mean_per_camera``, ``tracklets``, ``affine`` and ``progress`` of
            :func:`measure_noise`.

    Returns:
        The map; the same for the same images in any order, up to rounding.

    Raises:
        InputError: If all pairs are identical, r is not finite and at least 0.001, or as
            :func:`measure_noise`.
    """
    return whiten(measure_noise(features, camids, **options), shrinkage)


def whiten(noise: Noise, shrinkage: float = 3.0) -> CameraNoiseDenoiser:
    """The map that whitens what was measured.

    Args:
        noise: It serves every shrinkage.
        shrinkage: r, as in :func:`fit_camera_noise`.

    Raises:
        InputError: If all pairs are identical, or r is not finite and at least 0.001.
    """
    weight = noise.inverse_root(shrinkage)
    spectrum = noise.spectrum[0][::-1].copy()
    return CameraNoiseDenoiser(
        weight, noise.mean, noise.camera_means, spectrum, noise.num_pairs, noise.length
    )

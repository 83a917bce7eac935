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

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.pairs import Features, Indices, cross_camera_pairs, mutual_pairs
from reid.utils import InputError

CHUNK = 16384  # pairs whose differences are held at a time


@dataclass(frozen=True, eq=False)
class CameraNoiseDenoiser:
    """One linear map of L2-normalised embeddings.

    Args:
        weight: (D, D) float64, A; symmetric and positive definite.
        mean: (D,) float64, mu.
        camera_means: Where each camera has a mean of its own, camera to (D,); else empty.
        noise_spectrum: (D,) float64 eigenvalues of S_n, largest first.
        num_pairs: P.
    """

    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    camera_means: Mapping[int, NDArray[np.float64]]
    noise_spectrum: NDArray[np.float64]
    num_pairs: int

    def apply(self, features: Features, camids: Indices | None = None) -> Features:
        """Denoise embeddings.

        Args:
            features: (N, D), of any scale; they are L2-normalised first.
            camids: (N,) cameras; one that is absent, or was not seen when fitting, takes the overall mean.

        Returns:
            (N, D) float32 of unit length.

        Raises:
            InputError: If the width is another one, a value is not finite, or a feature is zero.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise InputError(f"features must be (N, {len(self.mean)}), got {features.shape}")
        centred = normalise(features) - self.mean.astype(np.float32)
        if camids is not None:
            for camera, mean in self.camera_means.items():
                centred[camids == camera] += (self.mean - mean).astype(np.float32)
        return normalise(centred @ self.weight.T.astype(np.float32))


def fit_camera_noise(
    features: Features,
    camids: Indices | None,
    *,
    k: int = 2,
    shrinkage: float = 3.0,
    mean_per_camera: bool = False,
) -> CameraNoiseDenoiser:
    """Fit the map on unlabelled images.

    Args:
        features: (N, D) embeddings of any scale.
        camids: (N,) cameras; None pairs mutual neighbours of any camera, which gains about half as much.
        k: Neighbours an image may be paired with.
        shrinkage: r, the share of the noise's mean variance that is added in every direction, above 0.
        mean_per_camera: Whether each camera's own mean is subtracted; better where the cameras of all later
            images are known.

    Returns:
        The map; the same for the same images in any order, up to rounding.

    Raises:
        InputError: If there are no pairs or all are identical, the cameras are fewer than two, a feature is
            zero or not finite, or an option is out of range.
    """
    if not shrinkage > 0 or not np.isfinite(shrinkage):
        raise InputError(f"the shrinkage r must be above 0, got {shrinkage}")
    if camids is not None and len(np.unique(camids)) < 2:
        raise InputError(
            "camera noise needs images of at least two cameras, got one; give the cameras, or pair images "
            "without them"
        )
    if mean_per_camera and camids is None:
        raise InputError("a mean for each camera needs the images' cameras, got none")
    unit = normalise(features)
    mean = unit.mean(axis=0, dtype=np.float64)
    camera_means: dict[int, NDArray[np.float64]] = {}
    if mean_per_camera and camids is not None:
        for camera in np.unique(camids):
            camera_means[int(camera)] = unit[camids == camera].mean(axis=0, dtype=np.float64)
            unit[camids == camera] -= camera_means[int(camera)].astype(np.float32)
    pairs = mutual_pairs(unit, k) if camids is None else cross_camera_pairs(unit, camids, k)
    if len(pairs) == 0:
        raise InputError("no two images are among each other's nearest; give more images, or a larger k")
    covariance = noise_covariance(unit, pairs)
    weight, spectrum = _inverse_root(covariance, shrinkage)
    return CameraNoiseDenoiser(weight, mean, camera_means, spectrum, len(pairs))


def noise_covariance(features: Features, pairs: Indices) -> NDArray[np.float64]:
    """S_n = mean over pairs (x_i - x_j)(x_i - x_j)^T / 2.

    Args:
        features: (N, D).
        pairs: (P, 2) rows, P at least 1.

    Returns:
        (D, D) float64, symmetric.
    """
    total = np.zeros((features.shape[1], features.shape[1]))
    for chunk in np.array_split(pairs, -(-len(pairs) // CHUNK)):
        difference = features[chunk[:, 0]].astype(np.float64) - features[chunk[:, 1]]  # (B, D)
        total += difference.T @ difference
    return (total + total.T) / (4 * len(pairs))


def normalise(features: Features) -> Features:
    """Scale rows to unit length, as a new float32 array.

    Raises:
        InputError: If a row is zero or not finite.
    """
    features = np.asarray(features, np.float32)
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    unusable = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if len(unusable):
        raise InputError(
            f"features must be finite and not zero, row {unusable[0]} is not ({len(unusable)} in all)"
        )
    return (features / lengths).astype(np.float32)


def _inverse_root(
    covariance: NDArray[np.float64], shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A, of mean eigenvalue 1 since a normalisation follows, and the eigenvalues of S_n."""
    average = np.trace(covariance) / len(covariance)
    if not average > 0:
        raise InputError("all pairs are identical images: there is no noise to learn; give different images")
    values, vectors = np.linalg.eigh(covariance)
    values = values.clip(min=0)  # rounding may push a zero below
    scale = (values + shrinkage * average) ** -0.5
    weight = (vectors * (scale / scale.mean())) @ vectors.T
    return (weight + weight.T) / 2, values[::-1].copy()

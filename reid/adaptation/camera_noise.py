"""Camera-noise denoising: whiten what changes when another camera sees the same identity.

    S_n = mean over pairs (x_i - x_j)(x_i - x_j)^T / 2      the noise, from pairs of two cameras
    A   = (S_n + r trace(S_n)/d I)^(-1/2)
    x  -> A (x - mu), then L2-normalised

It whitens the noise and leaves the signal: compare WCCN (Hatch et al., 2006) and whitening learned from
matching pairs (Mikolajczyk & Matas, 2007). A Wiener filter, which shrinks the signal too, lowers mAP.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.pairs import Features, Indices, cross_camera_pairs, mutual_pairs
from reid.adaptation.tracklets import tracklet_pairs
from reid.utils import InputError

CHUNK = 16384  # rows that are held in float64 at a time
LEAST_OF_CAMERA = 10  # images; the mean of fewer is mostly their own features, and of one nothing is left


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
        without_cameras: The map with one mean, for features whose cameras are not told at all; None where
            this one serves. It whitens the offsets of cameras, which a map with camera means leaves in.
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
            camids: (N,) cameras; one that was not seen when fitting takes the overall mean. None where none
                is known: then the map with one mean is taken.

        Returns:
            (N, D) float32 of unit length; zero where a feature is the mean itself.

        Raises:
            InputError: If the width or the number of cameras is another one, a value is not finite, or a
                feature is zero.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise InputError(f"features must be (N, {len(self.mean)}), got {features.shape}")
        if camids is None and self.without_cameras is not None:
            return self.without_cameras.apply(features)
        if camids is not None and len(camids) != len(features):
            raise InputError(f"each of {len(features)} features needs a camera, got {len(camids)} cameras")
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
    features: Features,
    camids: Indices | None,
    *,
    k: int = 2,
    shrinkage: float = 3.0,
    mean_per_camera: bool = False,
    tracklets: Indices | None = None,
    affine: bool = False,
) -> CameraNoiseDenoiser:
    """Fit the map on unlabelled images.

    Args:
        features: (N, D) embeddings of any scale.
        camids: (N,) cameras; None pairs mutual neighbours of any camera, which gains about half as much.
        k: Neighbours an image may be paired with; not read where there are tracklets.
        shrinkage: r, the share of the noise's mean variance that is added in every direction, above 0.
        mean_per_camera: Whether each camera's own mean is subtracted; better where the cameras of all later
            images are known. A camera of fewer than 10 images takes the mean of all.
        tracklets: (N,) numbers of tracklets, -1 for none: images of one are paired, whatever their cameras.
        affine: Whether embeddings are divided by one length, the root of their mean squared length, instead
            of each by its own: then the map is affine in the embedding, and folds into a linear layer.

    Returns:
        The map; the same for the same images in any order, up to rounding.

    Raises:
        InputError: If there are no pairs or all are identical, the cameras are fewer than two, a feature is
            zero or not finite, or an option is out of range.
    """
    if not shrinkage > 0 or not np.isfinite(shrinkage):
        raise InputError(f"the shrinkage r must be finite and above 0, got {shrinkage}; 3 is usual")
    for name, numbers in (("camera", camids), ("tracklet", tracklets)):
        if numbers is not None and len(numbers) != len(features):
            raise InputError(f"each of {len(features)} features needs one {name} number, got {len(numbers)}")
    if camids is not None and tracklets is None and (count := len(np.unique(camids))) < 2:
        raise InputError(
            f"camera noise needs images of at least two cameras, got {count}; give the cameras, or pair"
            " images without them (ADAPT.PAIRS neighbours, or tracklets)"
        )
    if mean_per_camera and camids is None:
        raise InputError("a mean for each camera needs the images' cameras, got none; give them, or one mean")
    unit = normalise(features)
    length = _common_length(features) if affine else None
    # The features whose noise is measured; pairs are found by direction in any case.
    seen = unit if length is None else scale(features, length)
    mean = seen.mean(axis=0, dtype=np.float64)
    camera_means: dict[int, NDArray[np.float64]] = {}
    if mean_per_camera and camids is not None:
        camera_means = _camera_means(seen, camids)
        for space in {id(unit): unit, id(seen): seen}.values():
            _move_cameras(space, camids, camera_means)
    if tracklets is not None:
        pairs = tracklet_pairs(tracklets)
    else:
        pairs = mutual_pairs(unit, k) if camids is None else cross_camera_pairs(unit, camids, k)
    if len(pairs) == 0:
        raise InputError("no two images are among each other's nearest; give more images, or a larger k")
    covariance = noise_covariance(seen, pairs)
    weight, spectrum = inverse_root(covariance, shrinkage)
    return CameraNoiseDenoiser(weight, mean, camera_means, spectrum, len(pairs), length)


def _camera_means(features: Features, camids: Indices) -> dict[int, NDArray[np.float64]]:
    """Of the cameras with images enough."""
    cameras, counts = np.unique(camids, return_counts=True)
    known = cameras[counts >= LEAST_OF_CAMERA]
    return {int(c): features[camids == c].mean(axis=0, dtype=np.float64) for c in known}


def _move_cameras(features: Features, camids: Indices, cameras: Iterable[int]) -> None:
    """Shift, in place, the images of each camera so that their mean is that of all."""
    mean = features.mean(axis=0, dtype=np.float64)
    for camera in cameras:
        rows = camids == camera
        own = features[rows].mean(axis=0, dtype=np.float64)
        features[rows] += (mean - own).astype(np.float32)


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
    return scale(features, None)


def scale(features: Features, length: float | None, first_row: int = 0) -> Features:
    """Divide rows by one length, or with None each by its own, as a new float32 array.

    Args:
        features: (N, D).
        length: Above 0, or None.
        first_row: What messages call the first row.

    Raises:
        InputError: If there is no row or no column, or a row is zero or not finite.
    """
    if features.ndim != 2 or features.size == 0:
        raise InputError(f"features must be (N, D), N and D at least 1, got {features.shape}; give images")
    with np.errstate(over="ignore"):  # infinity is refused below
        scaled = np.array(features, np.float32)
    for start in range(0, len(scaled), CHUNK):
        rows = scaled[start : start + CHUNK]
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        unusable = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
        if len(unusable):
            first, last = first_row + start, first_row + start + len(rows) - 1
            raise InputError(
                f"features must be finite and not zero, row {first + unusable[0]} is not ({len(unusable)} of"
                f" rows {first} to {last}); leave such images out"
            )
        rows /= lengths if length is None else length
    return scaled


def _common_length(features: Features) -> float:
    """Root of the mean squared length."""
    total = sum(
        float(np.square(features[start : start + CHUNK], dtype=np.float64).sum())
        for start in range(0, len(features), CHUNK)
    )
    return (total / len(features)) ** 0.5


def inverse_root(
    covariance: NDArray[np.float64], shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A, of mean eigenvalue 1 since a normalisation follows, and the eigenvalues of S_n."""
    floor = shrinkage * np.trace(covariance) / len(covariance)
    if not floor > 0:
        raise InputError("all pairs are identical images: there is no noise to learn; give different images")
    values, vectors = np.linalg.eigh(covariance)
    values = values.clip(min=0)  # rounding may push a zero below
    scale = (values + floor) ** -0.5
    weight = (vectors * (scale / scale.mean())) @ vectors.T
    return (weight + weight.T) / 2, values[::-1].copy()

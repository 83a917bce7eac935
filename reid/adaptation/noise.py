"""The noise between cameras, measured on unlabelled embeddings.

S_n = mean over pairs (x_i - x_j)(x_i - x_j)^T / 2      pairs of mutual neighbours, or of one tracklet
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.pairs import Features, Indices, cross_camera_pairs, mutual_pairs
from reid.adaptation.scaling import CHUNK, common_length, normalise, scale
from reid.adaptation.tracklets import tracklet_pairs
from reid.utils import InputError

LEAST_SHRINKAGE = 1e-3
LEAST_OF_CAMERA = 10  # images; the mean of fewer is mostly their own features, and of one nothing is left


@dataclass(frozen=True, eq=False)
class Noise:
    """What was measured.

    Args:
        covariance: (D, D) float64 S_n, symmetric.
        mean: (D,) float64, mu.
        camera_means: Where each camera has a mean of its own, camera to (D,); else empty.
        num_pairs: P.
        length: L, where all embeddings were divided by one length; None where each was by its own.
    """

    covariance: NDArray[np.float64]
    mean: NDArray[np.float64]
    camera_means: Mapping[int, NDArray[np.float64]]
    num_pairs: int
    length: float | None = None

    @cached_property
    def spectrum(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D,) eigenvalues of S_n, smallest first and none below 0, and (D, D) their vectors as columns."""
        values, vectors = np.linalg.eigh(self.covariance)
        return values.clip(min=0), vectors  # rounding may push a zero below

    def inverse_root(self, shrinkage: float) -> NDArray[np.float64]:
        """(D, D) A = (S_n + r trace(S_n)/d I)^(-1/2), of mean eigenvalue 1, since a normalisation follows.

        Args:
            shrinkage: r, at least 0.001: of less, rounding decides what the weakest directions weigh.

        Raises:
            InputError: If r is not finite and at least 0.001, or there is no noise.
        """
        if not isinstance(shrinkage, Real) or not LEAST_SHRINKAGE <= shrinkage < np.inf:
            raise InputError(
                f"the shrinkage r must be finite and at least {LEAST_SHRINKAGE}, got {shrinkage}; 3 is usual"
            )
        floor = shrinkage * np.trace(self.covariance) / len(self.covariance)
        if not floor > 0:
            raise InputError(
                "all pairs are identical images: there is no noise to learn; give different images"
            )
        values, vectors = self.spectrum
        scale = (values + floor) ** -0.5
        weight = (vectors * (scale / scale.mean())) @ vectors.T
        return (weight + weight.T) / 2


def measure_noise(
    features: Features,
    camids: Indices | None,
    *,
    k: int = 2,
    mean_per_camera: bool = False,
    tracklets: Indices | None = None,
    affine: bool = False,
    progress: bool = False,
) -> Noise:
    """Measure the noise on unlabelled images.

    Args:
        features: (N, D) embeddings of any scale.
        camids: (N,) cameras; None pairs mutual neighbours of any camera, which gains about half as much.
        k: Neighbours an image may be paired with; not read where there are tracklets.
        mean_per_camera: Whether each camera's own mean is subtracted; better where the cameras of all later
            images are known. A camera of fewer than 10 images takes the mean of all.
        tracklets: (N,) numbers of tracklets, -1 for none: images of one are paired, whatever their cameras.
        affine: Whether embeddings are divided by one length, the root of their mean squared length, instead
            of each by its own: then the map is affine in the embedding, and folds into a linear layer.
        progress: Whether to show a bar while pairs are sought.

    Returns:
        The noise; the same for the same images in any order, up to rounding.

    Raises:
        InputError: If there are no pairs, the cameras are fewer than two, a feature is
            zero or not finite, or an option is out of range.
    """
    features = np.asarray(features)
    camids = check_numbers("camera", camids, len(features))
    tracklets = check_numbers("tracklet", tracklets, len(features))
    if camids is not None and tracklets is None:
        check_cameras(camids)
    if mean_per_camera and camids is None:
        raise InputError("a mean for each camera needs the images' cameras, got none; give them, or one mean")
    unit = normalise(features)
    length = common_length(features) if affine else None
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
        pairs = (
            mutual_pairs(unit, k, progress=progress)
            if camids is None
            else cross_camera_pairs(unit, camids, k, progress=progress)
        )
    if len(pairs) == 0:
        raise InputError("no two images are among each other's nearest; give more images, or a larger k")
    return Noise(noise_covariance(seen, pairs), mean, camera_means, len(pairs), length)


def check_numbers(name: str, numbers: Indices | None, count: int) -> Indices | None:
    """Cameras or tracklets (N,), one for each of ``count`` features; lists become arrays.

    Raises:
        InputError: If they are not as many, or no whole numbers.
    """
    if numbers is None:
        return None
    numbers = np.asarray(numbers)
    if numbers.shape != (count,):
        given = len(numbers) if numbers.ndim == 1 else f"numbers of shape {numbers.shape}"
        raise InputError(f"each of {count} features needs one {name} number, got {given}")
    if count and numbers.dtype.kind not in "iu":
        raise InputError(f"{name} numbers must be whole, got {numbers.dtype}; -1 is an unknown one")
    return numbers


def check_cameras(camids: Indices) -> None:
    """Refuse images, (N,) of known cameras, that another camera sees none of.

    Raises:
        InputError: If the cameras are fewer than two.
    """
    if (count := len(np.unique(camids))) < 2:
        raise InputError(
            f"camera noise needs images of at least two cameras, got {count}; give the cameras, or pair"
            " images without them (ADAPT.PAIRS neighbours, or tracklets)"
        )


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

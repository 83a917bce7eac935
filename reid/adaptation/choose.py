"""Choose the settings of camera-noise denoising, and whether to use it, without a label.

Images are split in two so that no pair is cut. What is fitted on one half is judged on the other by

    u = mean over pairs log( |x_i - x_j| / |x_i - x_n| )      n: the nearest other image of another camera

over the pairs that are mutual nearest neighbours both before and after: how much nearer the partner is than
the best impostor, whatever the scale of the space. Lower is better.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.camera_noise import CameraNoiseDenoiser, fit_camera_noise, normalise
from reid.adaptation.pairs import Features, Indices, cross_camera_neighbours, cross_camera_pairs
from reid.utils import InputError

logger = logging.getLogger(__name__)

NEIGHBOURS = (2, 3)
SHRINKAGES = (1.0, 3.0, 10.0)
USUAL = (2, 3.0)  # what lost nothing in any set that was tried
LEAST_PAIRS = 20


@dataclass(frozen=True)
class Candidate:
    """One setting, judged.

    Args:
        k: Neighbours an image may be paired with.
        shrinkage: r.
        mean_per_camera: Whether each camera's own mean is subtracted.
        before: u of the untouched embeddings, on the pairs that are judged.
        after: u after denoising, on the same pairs.
        error: Standard error of ``after - before``.
        num_pairs: Held-out pairs judged.
    """

    k: int
    shrinkage: float
    mean_per_camera: bool
    before: float
    after: float
    error: float
    num_pairs: int

    @property
    def gain(self) -> float:
        """Before - after, above 0 where the partner came nearer."""
        return self.before - self.after


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        denoiser: Fitted on all images; None where no setting helps by more than two standard errors.
        chosen: Its setting; None likewise.
        candidates: All settings that were judged.
    """

    denoiser: CameraNoiseDenoiser | None
    chosen: Candidate | None
    candidates: tuple[Candidate, ...]


def choose_camera_noise(
    features: Features,
    camids: Indices,
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    shrinkages: Sequence[float] = SHRINKAGES,
    means_per_camera: Sequence[bool] = (False,),
    seed: int = 0,
) -> Choice:
    """Fit every setting on one half, judge it on the other, and fit the chosen one on all images.

    The usual setting, k = 2 and r = 3, is kept unless another one is better by more than a standard error.

    Args:
        features: (N, D) embeddings of any scale.
        camids: (N,) cameras.
        neighbours: Values of k to try.
        shrinkages: Values of r to try.
        means_per_camera: Whether to try one mean, one a camera, or both.
        seed: Of the split.

    Raises:
        InputError: As :func:`fit_camera_noise`, or if fewer than 20 pairs are left to judge by.
    """
    features = normalise(features)
    halves = _halves(cross_camera_pairs(features, camids, max(neighbours)), len(features), seed)
    candidates = []
    for k, shrinkage, per_camera in itertools.product(neighbours, shrinkages, means_per_camera):
        judged = [
            _judge(features, camids, half, k=k, shrinkage=shrinkage, mean_per_camera=per_camera)
            for half in (halves, ~halves)
        ]
        candidates.append(_candidate(k, shrinkage, per_camera, np.concatenate(judged)))
    chosen = _pick(candidates)
    if chosen is None:
        return Choice(None, None, tuple(candidates))
    denoiser = fit_camera_noise(
        features,
        camids,
        k=chosen.k,
        shrinkage=chosen.shrinkage,
        mean_per_camera=chosen.mean_per_camera,
    )
    return Choice(denoiser, chosen, tuple(candidates))


def _pick(candidates: Sequence[Candidate]) -> Candidate | None:
    best = min(candidates, key=lambda c: c.after - c.before)
    usual = [c for c in candidates if (c.k, c.shrinkage) == USUAL]
    near = [c for c in usual if c.gain >= best.gain - best.error]
    chosen = max(near, key=lambda c: c.gain) if near else best
    return chosen if chosen.gain > 2 * chosen.error else None


def _candidate(k: int, shrinkage: float, per_camera: bool, judged: NDArray[np.float64]) -> Candidate:
    if len(judged) < LEAST_PAIRS:
        raise InputError(
            f"choosing without labels needs {LEAST_PAIRS} held-out pairs of two cameras, got {len(judged)};"
            " give more images, or set k and the shrinkage yourself"
        )
    error = standard_error(judged)
    before, after = judged.mean(axis=0)
    return Candidate(k, shrinkage, per_camera, float(before), float(after), error, len(judged))


def standard_error(judged: NDArray[np.float64]) -> float:
    """Of the mean change between two columns (P, 2)."""
    return float((judged[:, 1] - judged[:, 0]).std(ddof=1) / np.sqrt(len(judged)))


def nearness(before: Features, after: Features, camids: Indices) -> NDArray[np.float64]:
    """How near partners are in two spaces, beside the best impostor.

    Args:
        before: (N, D) unit-length features.
        after: (N, E) unit-length features of the same images.
        camids: (N,) cameras.

    Returns:
        (P, 2) log(|x_i - x_j| / |x_i - x_n|) in each space, of the images whose partner j is their mutual
        nearest in both; n is the nearest but the partner.
    """
    spaces = [cross_camera_neighbours(space, camids, 2) for space in (before, after)]
    links = [_mutual_nearest(indices) for _, indices in spaces]
    rows = np.flatnonzero((links[0] >= 0) & (links[0] == links[1]))
    ratios = np.stack([_log_ratio(distances[rows]) for distances, _ in spaces], axis=1)
    return ratios[np.isfinite(ratios).all(axis=1)]


def _judge(
    features: Features, camids: Indices, fitted: NDArray[np.bool_], **setting: object
) -> NDArray[np.float64]:
    """The nearness of held-out images before and after what the others fitted."""
    denoiser = fit_camera_noise(features[fitted], camids[fitted], **setting)  # type: ignore[arg-type]
    held_out, cameras = features[~fitted], camids[~fitted]
    return nearness(held_out, denoiser.apply(held_out, cameras), cameras)


def _mutual_nearest(indices: Indices) -> Indices:
    """(N,) the partner of each image whose nearest has it as its nearest; -1 elsewhere."""
    nearest = indices[:, 0]
    is_mutual = (nearest >= 0) & (nearest[nearest] == np.arange(len(nearest)))
    return np.where(is_mutual, nearest, -1)


def _log_ratio(distances: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log of the nearest distance over the second; the squares' half."""
    squares = distances.astype(np.float64).clip(min=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.5 * np.log(squares[:, 0] / squares[:, 1])


def _halves(pairs: Indices, count: int, seed: int) -> NDArray[np.bool_]:
    """(N,) which half each image is in; images that pairs connect are in one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    number, component = connected_components(graph, directed=False)
    return np.random.default_rng(seed).permutation(number)[component] % 2 == 0

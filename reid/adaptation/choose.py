"""Choose the settings of camera-noise denoising, and whether to use it, without a label.

Images are split in two so that no pair is cut. What is fitted on one half is judged on the other by the
mean of b (:mod:`reid.adaptation.reciprocity`): how well the way to the nearest image of another camera leads
back.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.camera_noise import CameraNoiseDenoiser, fit_camera_noise, whiten
from reid.adaptation.noise import measure_noise
from reid.adaptation.pairs import Features, Indices, cross_camera_pairs
from reid.adaptation.reciprocity import reciprocity
from reid.adaptation.scaling import normalise
from reid.utils import InputError, progress_bar

logger = logging.getLogger(__name__)

NEIGHBOURS = (2, 3)
SHRINKAGES = (1.0, 3.0, 10.0)
MEANS = (False, True)
USUAL = (2, 3.0)  # what lost nothing in any set that was tried
LEAST_IMAGES = 40  # held out, to judge by
LEAST_PAIRS = 10  # that say what noise is
MOST_IMAGES = 10_000  # that are looked at: a standard error of some thousandths
LARGEST_GROUP = 0.1  # of the images that pairs connect; more cannot be split in two evenly


@dataclass(frozen=True)
class Setting:
    """How a denoiser is fitted.

    Args:
        k: Neighbours an image may be paired with.
        shrinkage: r.
        mean_per_camera: Whether each camera's own mean is subtracted.
    """

    k: int = USUAL[0]
    shrinkage: float = USUAL[1]
    mean_per_camera: bool = False

    def describe(self) -> str:
        """In words."""
        return f"k = {self.k}, {self.describe_map()}"

    def describe_map(self) -> str:
        """The same without k, which tracklets do not read."""
        mean = "a mean per camera" if self.mean_per_camera else "one mean"
        return f"r = {self.shrinkage:g}, {mean}"


@dataclass(frozen=True)
class Judgement:
    """What a change of the features does to the way back.

    Args:
        before: Mean b of the untouched features, in [0, 1].
        after: Mean b after the change, of the same images.
        error: Standard error of ``after - before`` over images, as if they were independent.
        num_images: That it was judged on.
    """

    before: float
    after: float
    error: float
    num_images: int

    @property
    def gain(self) -> float:
        """After - before, above 0 where more ways lead back."""
        return self.after - self.before

    @property
    def is_better(self) -> bool:
        """Whether the gain is more than a standard error."""
        return self.gain > self.error

    @property
    def is_clearly_better(self) -> bool:
        """Whether the gain is more than two standard errors."""
        return self.gain > 2 * self.error

    @classmethod
    def of(cls, before: NDArray[np.float64], after: NDArray[np.float64]) -> Judgement:
        """From b (N,) of the same images in both, N at least 2."""
        change = after - before
        error = float(change.std(ddof=1) / np.sqrt(len(change)))
        return cls(float(before.mean()), float(after.mean()), error, len(change))


@dataclass(frozen=True)
class Candidate:
    """One setting, judged.

    Args:
        setting: What was tried.
        judgement: On held-out images.
    """

    setting: Setting
    judgement: Judgement


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Args:
        denoiser: Fitted on all images; None where no setting is better by more than a standard error, or
            there are too few pairs to fit by.
        setting: Its setting; None likewise.
        candidates: All settings that were judged; empty where nothing can be judged, and the usual setting
            was taken.
        reason: Why nothing was judged, or why nothing was fitted although something was; else empty.
    """

    denoiser: CameraNoiseDenoiser | None
    setting: Setting | None
    candidates: tuple[Candidate, ...] = ()
    reason: str = ""

    def unless_few_pairs(self, *, always: bool) -> Choice:
        """Itself, or without ``always`` nothing where the noise would be that of fewer than 10 pairs."""
        if always or self.denoiser is None or self.denoiser.num_pairs >= LEAST_PAIRS:
            return self
        reason = f"too few pairs, {self.denoiser.num_pairs}; {LEAST_PAIRS} are needed"
        return Choice(None, None, self.candidates, reason)


def judge(before: Features, after: Features, camids: Indices, seed: int = 0) -> Judgement:
    """Two embeddings of the same images, by their ways back; of many images 10,000 are looked at.

    Args:
        before: (N, D) of any scale, N at least 2.
        after: (N, E) of the same images.
        camids: (N,) cameras, two at least.
        seed: Of the draw.

    Raises:
        InputError: If a feature is zero or not finite.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(before))[:MOST_IMAGES])
    scores = [reciprocity(normalise(space[rows]), camids[rows]) for space in (before, after)]
    return Judgement.of(*scores)


def choose_camera_noise(
    features: Features,
    camids: Indices,
    *,
    neighbours: Sequence[int] = NEIGHBOURS,
    shrinkages: Sequence[float] = SHRINKAGES,
    means: Sequence[bool] = MEANS,
    always: bool = False,
    affine: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Choice:
    """Fit every setting on one half, judge it on the other, and fit the chosen one on all images.

    The usual values, k = 2, r = 3 and one mean, are kept unless others are better by more than a standard
    error. With fewer than 40 images to judge by they are taken unjudged: they lost nothing in any set that
    was tried. With fewer than 10 pairs nothing is taken. Of many images 10,000 are looked at, whole groups
    that pairs connect.

    Args:
        features: (N, D) embeddings of any scale.
        camids: (N,) cameras.
        neighbours: Values of k to try.
        shrinkages: Values of r to try.
        means: Whether to try one mean (False), one a camera (True), or both.
        always: Whether to take the best setting although none is better than the untouched features, and
            however few pairs there are.
        affine: As in :func:`fit_camera_noise`.
        seed: Of the split.
        progress: Whether to show bars: settings that are judged, then images that are paired.

    Raises:
        InputError: As :func:`fit_camera_noise`.
    """
    settings = [Setting(*values) for values in itertools.product(neighbours, shrinkages, means)]
    candidates, reason = _judge_all(features, camids, settings, affine, seed, progress)
    chosen = pick(candidates, always=always) if candidates else _usual(settings)
    if chosen is None:
        return Choice(None, None, tuple(candidates))
    denoiser = fit_camera_noise(features, camids, **vars(chosen), affine=affine, progress=progress)
    if chosen.mean_per_camera:
        one_mean = vars(chosen) | {"mean_per_camera": False}
        alone = fit_camera_noise(features, camids, **one_mean, affine=affine, progress=progress)
        denoiser = replace(denoiser, without_cameras=alone)
    choice = Choice(denoiser, chosen, tuple(candidates), reason).unless_few_pairs(always=always)
    if choice.reason:
        what = "nothing is fitted" if choice.denoiser is None else "the usual setting is taken unjudged"
        logger.warning("%s: %s", choice.reason, what)
    return choice


def pick(candidates: Sequence[Candidate], *, always: bool = False) -> Setting | None:
    """The usual k and r with one mean, unless others are better by a standard error; None where none gains.

    A mean per camera asks more of who uses the model, every image's camera, so a draw is no reason for it.

    Args:
        candidates: At least one.
        always: Whether something is taken anyway.
    """

    def gain(candidate: Candidate) -> float:
        return candidate.judgement.gain

    best = max(candidates, key=gain)
    near = [c for c in candidates if gain(c) >= gain(best) - best.judgement.error]
    usual = [c for c in near if (c.setting.k, c.setting.shrinkage) == USUAL]
    chosen = min(usual, key=lambda c: c.setting.mean_per_camera) if usual else best
    return chosen.setting if always or chosen.judgement.is_better else None


def _usual(settings: Sequence[Setting]) -> Setting:
    """The usual one of those that may be taken, or the nearest to it."""
    return min(settings, key=lambda s: (s.mean_per_camera, abs(s.k - USUAL[0]), abs(s.shrinkage - USUAL[1])))


def _judge_all(
    features: Features, camids: Indices, settings: Sequence[Setting], affine: bool, seed: int, progress: bool
) -> tuple[list[Candidate], str]:
    """Every setting on both halves; nothing, and why, where a half has too little to fit or to judge by."""
    groups = _groups(normalise(features), camids)
    rows, half = _halves(groups, MOST_IMAGES, seed)
    features, camids = features[rows], camids[rows]
    if min(half.sum(), (~half).sum()) < LEAST_IMAGES // 2:
        return [], f"too few images to judge by ({len(rows)}, in halves of {LEAST_IMAGES // 2} at least)"
    untouched: list[NDArray[np.float64]] = []
    found: dict[Setting, list[NDArray[np.float64]]] = {setting: [] for setting in settings}
    with progress_bar(2 * len(settings), "judged", "setting", show=progress) as bar:
        for fitted in (half, ~half):
            held_out, cameras = features[~fitted], camids[~fitted]
            untouched.append(reciprocity(normalise(held_out), cameras))
            try:
                maps = list(_maps(features[fitted], camids[fitted], settings, affine))
            except InputError:
                # The whole may still be fitted.
                return [], "too few images to judge by (half of them are of one camera, or give no pair)"
            for setting, denoiser in maps:
                found[setting].append(reciprocity(denoiser.apply(held_out, cameras), cameras))
                bar.update()
    before = np.concatenate(untouched)
    return [Candidate(s, Judgement.of(before, np.concatenate(scores))) for s, scores in found.items()], ""


def _maps(
    features: Features, camids: Indices, settings: Sequence[Setting], affine: bool
) -> Iterator[tuple[Setting, CameraNoiseDenoiser]]:
    """Each setting with its map; one measurement serves every shrinkage."""
    for k, per_camera in dict.fromkeys((s.k, s.mean_per_camera) for s in settings):
        noise = measure_noise(features, camids, k=k, mean_per_camera=per_camera, affine=affine)
        for setting in settings:
            if (setting.k, setting.mean_per_camera) == (k, per_camera):
                yield setting, whiten(noise, setting.shrinkage)


def _groups(features: Features, camids: Indices) -> NDArray[np.int64]:
    """(N,) numbers of groups that mutual pairs connect, by the most neighbours that leave groups small."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.arange(len(features))
    for k in (3, 2, 1):
        pairs = cross_camera_pairs(features, camids, k)
        links = (np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1]))
        _, groups = connected_components(coo_array(links, (len(features),) * 2), directed=False)
        if np.bincount(groups).max() <= max(2, LARGEST_GROUP * len(features)):
            break
    return groups.astype(np.int64)


def _halves(groups: NDArray[np.int64], most: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of whole groups, about ``most`` at most, and which half each is in; a group is in one half."""
    count = int(groups.max()) + 1
    place = np.random.default_rng(seed).permutation(count)[groups]  # each group's turn
    if len(groups) > most:
        rows = np.flatnonzero(place < count * most // len(groups))
    else:
        rows = np.arange(len(groups))
    return rows, place[rows] % 2 == 0

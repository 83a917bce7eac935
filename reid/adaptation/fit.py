"""Fit camera-noise denoising as asked: what is given is taken, the rest is chosen without labels."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reid.adaptation.camera_noise import fit_camera_noise
from reid.adaptation.choose import MEANS, NEIGHBOURS, SHRINKAGES, USUAL, Choice, Setting, choose_camera_noise
from reid.adaptation.noise import check_cameras
from reid.adaptation.pairs import Features, Indices
from reid.adaptation.tracklets import tracklet_pairs
from reid.utils import InputError

logger = logging.getLogger(__name__)

Switch = Literal["auto", "on", "off"]
Pairing = Literal["cameras", "tracklets", "neighbours"]
WEAKEST_IN_DOMAIN = 3.0
NO_CAMERA = (
    "camera noise needs the images' cameras, no image has one; give them (a camid column), or set"
    " ADAPT.PAIRS tracklets, or ADAPT.PAIRS neighbours, which gains about half as much"
)


@dataclass(frozen=True)
class NoiseSettings:
    """How the noise is fitted.

    Args:
        noise: Whether it is denoised; ``auto`` where more ways lead back across cameras, or nothing can be
            judged, and there are 10 pairs at least.
        pairs: What is paired: neighbours of other ``cameras``, images of one of the ``tracklets``, or
            ``neighbours`` of any camera.
        k: Neighbours an image may be paired with; None chooses.
        shrinkage: r; None chooses.
        means: ``one`` mean, one a ``camera``, or ``auto``, which chooses.

    Raises:
        InputError: If means of cameras are asked for with pairs that know no cameras.
    """

    noise: Switch = "auto"
    pairs: Pairing = "cameras"
    k: int | None = None
    shrinkage: float | None = None
    means: Literal["auto", "one", "camera"] = "auto"

    def __post_init__(self) -> None:
        if self.means == "camera" and self.pairs != "cameras":
            raise InputError(
                f"a mean per camera needs pairs of cameras, pairs are {self.pairs}; use one mean"
            )


def fit_noise(
    features: Features,
    camids: Indices,
    tracklets: Indices,
    settings: NoiseSettings,
    *,
    in_domain: bool = False,
    affine: bool = False,
    progress: bool = False,
) -> Choice:
    """Fit on unlabelled features.

    With pairs of cameras, k, r and the means are judged and chosen on held-out images, and so is whether to
    denoise at all. Without cameras nothing tells how well images find each other, and the usual setting is
    taken: k = 2, r = 3, one mean. Images without a camera are left out where pairs are of cameras.

    Args:
        features: (N, D) embeddings of any scale.
        camids: (N,) cameras, -1 unknown.
        tracklets: (N,) numbers of tracklets, -1 for none; read where pairs are of tracklets.
        settings: What is asked for.
        in_domain: Whether the images look like those that the model was trained on: then r below 3 and means
            of cameras, which were seen to lose there, are not tried.
        affine: As in :func:`fit_camera_noise`.
        progress: Whether to show bars.

    Raises:
        InputError: If no image has a camera and pairs are of cameras, or as :func:`fit_camera_noise`.
    """
    if settings.noise == "off":
        return Choice(None, None)
    if settings.pairs != "cameras":
        k = USUAL[0] if settings.k is None else settings.k
        setting = Setting(k, USUAL[1] if settings.shrinkage is None else settings.shrinkage)
        of_tracklets = tracklets if settings.pairs == "tracklets" else None
        denoiser = fit_camera_noise(
            features,
            None,
            k=setting.k,
            shrinkage=setting.shrinkage,
            tracklets=of_tracklets,
            affine=affine,
            progress=progress,
        )
        choice = Choice(
            denoiser, setting, reason="only pairs of cameras tell how well images find each other"
        )
        return choice.unless_few_pairs(always=settings.noise == "on")
    known = camids >= 0
    if not known.all():
        features, camids = _with_cameras(features, camids)
    shrinkages = [r for r in SHRINKAGES if not in_domain or r >= WEAKEST_IN_DOMAIN]
    means = {"one": (False,), "camera": (True,), "auto": (False,) if in_domain else MEANS}
    return choose_camera_noise(
        features,
        camids,
        neighbours=NEIGHBOURS if settings.k is None else (settings.k,),
        shrinkages=shrinkages if settings.shrinkage is None else (settings.shrinkage,),
        means=means[settings.means],
        always=settings.noise == "on",
        affine=affine,
        progress=progress,
    )


def check_records(camids: Indices, tracklets: Indices, settings: NoiseSettings) -> None:
    """Refuse before the work images that :func:`fit_noise` would refuse whatever their features are.

    Args:
        camids: (N,) cameras, -1 unknown.
        tracklets: (N,) numbers of tracklets, -1 for none.
        settings: What is asked for.

    Raises:
        InputError: If the images are fewer than two, or pairs are of cameras and no image has one or all have
            the same, or pairs are of tracklets and none has two images.
    """
    if settings.noise == "off":
        return
    if settings.pairs == "cameras":
        known = camids[camids >= 0]
        if len(camids) and not len(known):
            raise InputError(NO_CAMERA)
        check_cameras(known)
    elif settings.pairs == "tracklets":
        tracklet_pairs(tracklets)
    elif len(camids) < 2:
        raise InputError(f"pairs need at least two images, got {len(camids)}; give more")


def _with_cameras(features: Features, camids: Indices) -> tuple[Features, Indices]:
    known = camids >= 0
    if not known.any():
        raise InputError(NO_CAMERA)
    logger.warning("%d of %d images have no camera: no pair is of them", (~known).sum(), len(known))
    return np.ascontiguousarray(features[known]), camids[known]

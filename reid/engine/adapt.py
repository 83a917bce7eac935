"""Adapt a trained model to the cameras of a site, from unlabelled images."""

import copy
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from reid.adaptation import (
    CameraNoiseDenoiser,
    Judgement,
    fit_noise,
    has_batchnorm,
    judge,
    reestimate_batchnorm,
)
from reid.adaptation.fit import NoiseSettings, Switch, check_records
from reid.data import Batch, Records, iterate
from reid.engine.adaptation import Adaptation, count_used
from reid.engine.familiar import Inputs, is_familiar
from reid.engine.side import knows_cameras_of, side_inputs
from reid.evaluation import FeatureSet, extract_features
from reid.models import Header, ReIDModel, SiteSpec
from reid.models.embedding import EmbeddingDenoiser
from reid.models.fold import can_fold, fold_affine
from reid.utils import InputError, short_name

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdaptSettings:
    """What is adapted, and how.

    Args:
        noise: How camera noise is fitted, and whether.
        batchnorm: Whether BatchNorm statistics are re-estimated first; ``auto`` where more ways lead back
            across cameras.
        fold: Whether the denoising folds into the network where the network has a place for it.
    """

    noise: NoiseSettings = field(default_factory=NoiseSettings)
    batchnorm: Switch = "auto"
    fold: bool = True


@dataclass(frozen=True, eq=False)
class SiteImages:
    """The unlabelled images of a site, prepared as the model wants them.

    Args:
        name: Of the data set, which tells whose cameras they are.
        title: What results call it.
        records: The images; their identities are not read, unless as numbers of tracklets.
        ordered: In order, for features.
        shuffled: In random order, for BatchNorm: one batch must not be of one camera.
    """

    name: str
    title: str
    records: Records
    ordered: DataLoader[Batch]
    shuffled: DataLoader[Batch]


def adapt(
    model: ReIDModel, header: Header, site: SiteImages, device: torch.device, settings: AdaptSettings
) -> Adaptation:
    """Adapt a copy of ``model`` to unlabelled images.

    BatchNorm statistics first, since the noise is that of the features that they give. On images that look
    like those of the training, statistics stay and only careful settings of the noise are tried.

    Args:
        model: Any trained model that was not adapted before.
        header: Of its checkpoint.
        site: The images.
        device: Where features are computed.
        settings: What is adapted, and how.

    Raises:
        InputError: If the model was adapted before, BatchNorm statistics are asked for and cannot be had,
            cameras or tracklets give no pair, an image cannot be read, or no pair is found.
    """
    if header.is_adapted:
        raise InputError("the model was adapted before; adapt the one that it came from")
    _check_means(model, site, settings.noise)
    _check_statistics(model, site, settings)
    check_records(site.records.camids, site.records.pids, settings.noise)
    model = model.to(device)
    features = _extract(model, site, device)
    # Many lists are called train.csv.
    count = len(site.records) if site.name != short_name(site.name) else None
    familiar = is_familiar(model, header.training, site.title, _inputs(model, site, device), count)
    adapted, judgement = model, None
    if _is_tried(model, site, settings, familiar):
        candidate = reestimate_batchnorm(model, _only_images(site.shuffled, device))
        found = _extract(candidate, site, device)
        judgement = _judge(features, found)
        if settings.batchnorm == "on" or (judgement and judgement.is_clearly_better):
            adapted, features = candidate, found
    start = time.perf_counter()
    folds = settings.fold and can_fold(adapted) and settings.noise.means != "camera"
    noise = (
        replace(settings.noise, means="one") if folds or _has_other_cameras(model, site) else settings.noise
    )
    choice = fit_noise(
        features.feats.numpy(),
        features.camids.numpy(),
        features.pids.numpy(),
        noise,
        in_domain=familiar,
        affine=folds,
        progress=True,
    )
    has_new_statistics = adapted is not model
    num_images, num_cameras = count_used(features.camids.numpy(), settings.noise.pairs)
    if choice.denoiser is not None:
        adapted = with_denoiser(adapted, choice.denoiser, site.name)
    return Adaptation(
        model=adapted,
        familiar=familiar,
        batchnorm=has_new_statistics,
        batchnorm_judgement=judgement,
        choice=choice,
        pairs=settings.noise.pairs,
        num_images=num_images,
        num_cameras=num_cameras,
        seconds=time.perf_counter() - start,
    )


def with_denoiser(model: ReIDModel, denoiser: CameraNoiseDenoiser, site: str = "") -> ReIDModel:
    """A copy of ``model`` that denoises its retrieval feature.

    Args:
        model: Not adapted before.
        denoiser: What was fitted on its features; an affine one is folded into the network.
        site: Whose cameras those are that have means, a data set's name.

    Raises:
        ValueError: If an affine one is to be folded, and the network has no place for it.
    """
    if denoiser.length is not None:
        weight, mean = _map_of(denoiser)
        return fold_affine(model, weight / denoiser.length, -(weight @ mean))
    model = copy.deepcopy(model)
    cameras = tuple(sorted(denoiser.camera_means))
    model.spec = replace(model.spec, adapted=True, site=SiteSpec(cameras, site) if cameras else None)
    layer = EmbeddingDenoiser(model.dim, cameras)
    layer.set(*_map_of(denoiser.without_cameras or denoiser))
    if cameras:
        means = {camera: torch.from_numpy(own) for camera, own in denoiser.camera_means.items()}
        layer.set_cameras(*_map_of(denoiser), means)
    model.embedding_denoiser = layer.to(next(model.parameters()))
    return model


def _map_of(denoiser: CameraNoiseDenoiser) -> tuple[Tensor, Tensor]:
    """A and mu."""
    return torch.from_numpy(denoiser.weight), torch.from_numpy(denoiser.mean)


def _is_tried(model: ReIDModel, site: SiteImages, settings: AdaptSettings, familiar: bool) -> bool:
    """Whether new BatchNorm statistics are worth their pass: asked for, or able to be judged and to help."""
    if settings.batchnorm != "auto":
        return settings.batchnorm == "on"
    # Without cameras nothing tells whether they help.
    if not _has_statistics(model) or settings.noise.pairs != "cameras" or familiar:
        return False
    if _has_single_images(site):
        logger.info("BatchNorm statistics stay: no batch has two images (TEST.IMS_PER_BATCH 1)")
        return False
    return True


def _has_statistics(model: ReIDModel) -> bool:
    """Whether the retrieval feature reads BatchNorm statistics; necks behind it do not count."""
    parts = [m for m in model.children() if m is not model.neck and m is not model.part_necks]
    return any(map(has_batchnorm, parts if model.spec.neck_feat == "before" else [model]))


def _has_single_images(site: SiteImages) -> bool:
    """Whether no batch has two images."""
    return len(site.shuffled) >= len(site.records)


def _check_statistics(model: ReIDModel, site: SiteImages, settings: AdaptSettings) -> None:
    """Refuse before the work statistics that are asked for and cannot be had."""
    if settings.batchnorm != "on":
        return
    if not _has_statistics(model):
        raise InputError(
            "ADAPT.BATCHNORM on needs a retrieval feature that reads BatchNorm statistics, this model's reads"
            " none; set ADAPT.BATCHNORM off"
        )
    if _has_single_images(site):
        raise InputError(
            "re-estimating BatchNorm needs a batch of at least two images, each has one; raise"
            " TEST.IMS_PER_BATCH, or set ADAPT.BATCHNORM off"
        )


def _judge(before: FeatureSet, after: FeatureSet) -> Judgement | None:
    """None where no image, or those of one camera alone, can tell."""
    camids: NDArray[np.int64] = before.camids.numpy()
    known = np.flatnonzero(camids >= 0)
    if len(np.unique(camids[known])) < 2:
        return None
    judgement = judge(before.feats.numpy()[known], after.feats.numpy()[known], camids[known])
    logger.info(
        "BatchNorm statistics of these images: ways back change by %+.4f (standard error %.4f)",
        judgement.gain,
        judgement.error,
    )
    return judgement


def _has_other_cameras(model: ReIDModel, site: SiteImages) -> bool:
    """Whether the model knows cameras that may be another data set's: it is not given the site's too."""
    side = model.spec.side
    return side is not None and not (side.dataset and knows_cameras_of(side, site.name))


def _check_means(model: ReIDModel, site: SiteImages, settings: NoiseSettings) -> None:
    """Refuse before the work what :func:`adapt` would leave out silently."""
    if settings.means == "camera" and settings.noise != "off" and _has_other_cameras(model, site):
        assert model.spec.side is not None  # it knows cameras
        whose = short_name(model.spec.side.dataset) or "an unknown data set"
        raise InputError(
            f"a mean per camera needs a model without the cameras of another data set, this one embeds those"
            f" of {whose}; set ADAPT.MEANS one"
        )


def _extract(model: ReIDModel, site: SiteImages, device: torch.device) -> FeatureSet:
    batches, knows_cameras = iterate(site.ordered), knows_cameras_of(model.spec.side, site.name)
    return extract_features(model, batches, device, side_information=knows_cameras, total=len(site.ordered))


def _inputs(model: ReIDModel, site: SiteImages, device: torch.device) -> Iterable[Inputs]:
    is_known = knows_cameras_of(model.spec.side, site.name)
    for batch in iterate(site.shuffled):
        sides = side_inputs(batch, is_known)
        yield [batch.images.to(device), *(side if side is None else side.to(device) for side in sides)]


def _only_images(batches: DataLoader[Batch], device: torch.device) -> Iterable[Tensor]:
    return (batch.images.to(device) for batch in iterate(batches))

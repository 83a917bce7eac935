"""Adapt a trained model to the cameras of a site, from unlabelled images."""

import copy
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from reid.adaptation import (
    LEAST_PAIRS,
    CameraNoiseDenoiser,
    Candidate,
    Choice,
    choose_camera_noise,
    fit_camera_noise,
    has_batchnorm,
    nearness,
    reestimate_batchnorm,
    standard_error,
)
from reid.adaptation.camera_noise import normalise
from reid.data import Batch, iterate
from reid.evaluation import extract_features, format_table
from reid.models import ReIDModel
from reid.models.embedding import EmbeddingDenoiser
from reid.utils import InputError

logger = logging.getLogger(__name__)

Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class AdaptSettings:
    """What is adapted, and how.

    Args:
        k: Neighbours an image may be paired with.
        shrinkage: r.
        choose: Whether k and r are chosen without labels instead, and whether to denoise at all.
        batchnorm: Whether BatchNorm statistics are re-estimated first; ``auto`` where partners come nearer.
        use_cameras: Whether pairs are of different cameras; without, any mutual neighbours.
    """

    k: int = 2
    shrinkage: float = 3.0
    choose: bool = True
    batchnorm: Switch = "auto"
    use_cameras: bool = True


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What was done.

    Args:
        model: A new model; the one that came in, unchanged, where nothing helps.
        batchnorm: Whether its BatchNorm statistics were re-estimated.
        denoiser: What was fitted on its embeddings; None where nothing helps.
        chosen: The setting that was taken; None where nothing helps, or where it was given.
        candidates: The settings that were judged; empty where they were given.
        num_images: Images that it was fitted on.
        num_cameras: Their cameras.
        seconds: For all but the extraction of features.
    """

    model: ReIDModel
    batchnorm: bool
    denoiser: CameraNoiseDenoiser | None
    chosen: Candidate | None
    candidates: tuple[Candidate, ...]
    num_images: int
    num_cameras: int
    seconds: float

    def as_text(self) -> str:
        """What was judged and done, for reading."""
        lines = []
        if self.candidates:
            rows = [
                [f"k = {c.k}, r = {c.shrinkage:g}", *_rounded(c.before, c.after, c.error), c.num_pairs]
                for c in self.candidates
            ]
            header = ["setting", "log ratio before", "after", "error of the change", "held-out pairs"]
            lines.append(format_table(header, rows))
            lines.append("log ratio: distance to the partner over that to the best impostor; lower is better")
        lines.append(f"BatchNorm statistics: {'re-estimated' if self.batchnorm else 'as they were'}")
        if self.denoiser is None:
            lines.append("camera noise: left alone, no setting brings partners clearly nearer")
        else:
            share = self.denoiser.noise_spectrum / self.denoiser.noise_spectrum.sum()
            lines.append(
                f"camera noise: {self.denoiser.num_pairs} pairs among {self.num_images} images of"
                f" {self.num_cameras} cameras; the 10 strongest of {len(share)} directions hold"
                f" {share[:10].sum():.0%} of it"
            )
        if self.chosen is not None:
            lines.append(
                f"chosen without labels: k = {self.chosen.k}, r = {self.chosen.shrinkage:g}, where the log"
                f" ratio falls by {self.chosen.gain:.4f} (error {self.chosen.error:.4f})"
            )
        lines.append(f"{self.seconds:.1f} s after the features")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "batchnorm": self.batchnorm,
            "denoised": self.denoiser is not None,
            "num_pairs": self.denoiser.num_pairs if self.denoiser else 0,
            "noise_spectrum": self.denoiser.noise_spectrum.tolist() if self.denoiser else [],
            "chosen": vars(self.chosen) if self.chosen else None,
            "num_images": self.num_images,
            "num_cameras": self.num_cameras,
            "candidates": [vars(candidate) for candidate in self.candidates],
            "seconds": self.seconds,
        }


def _rounded(*values: float) -> list[str]:
    return [f"{value:.4f}" for value in values]


def adapt(
    model: ReIDModel,
    images: DataLoader[Batch],
    shuffled: DataLoader[Batch],
    device: torch.device,
    settings: AdaptSettings,
    *,
    knows_cameras: bool = False,
) -> Adaptation:
    """Adapt a copy of ``model`` to unlabelled images.

    Args:
        model: Any trained model that was not adapted before.
        images: The images in order, prepared as for a test; their cameras are used, their identities are not.
        shuffled: The same images in random order, for BatchNorm: one batch must not be of one camera.
        device: Where features are computed.
        settings: What is adapted, and how.
        knows_cameras: Whether a model with side information is given the cameras; else it takes the mean.

    Raises:
        InputError: If the model was adapted before, an image cannot be read, or too few pairs are found.
    """
    if model.embedding_denoiser is not None:
        raise InputError("the model was adapted before; adapt the one that it came from")
    features, camids = _features(model, images, device, knows_cameras)
    cameras = camids if settings.use_cameras else None
    if cameras is not None and (cameras < 0).any():
        raise InputError(
            f"camera noise needs the camera of every image, {(cameras < 0).sum()} of {len(cameras)} images"
            " have none; give them, or pair images without (--no-cameras), which gains about half as much"
        )
    adapted, has_new_statistics = model, False
    # Without cameras nothing tells whether new statistics help, so they are not made to be thrown away.
    is_tried = settings.batchnorm == "auto" and has_batchnorm(model) and cameras is not None
    if settings.batchnorm == "on" or is_tried:
        candidate = reestimate_batchnorm(model.to(device), _only_images(shuffled, device))
        new_features, _ = _features(candidate, images, device, knows_cameras)
        has_new_statistics = (
            settings.batchnorm == "on" or cameras is None or _comes_nearer(features, new_features, cameras)
        )
        if has_new_statistics:
            adapted, features = candidate, new_features
    start = time.perf_counter()
    choice = _fit(features, cameras, settings)
    seconds = time.perf_counter() - start
    if choice.denoiser is not None:
        adapted = with_embedding_denoiser(adapted, choice.denoiser)
    count = len(np.unique(camids[camids >= 0]))
    return Adaptation(
        model=adapted,
        batchnorm=has_new_statistics,
        denoiser=choice.denoiser,
        chosen=choice.chosen,
        candidates=choice.candidates,
        num_images=len(features),
        num_cameras=count,
        seconds=seconds,
    )


def with_embedding_denoiser(model: ReIDModel, denoiser: CameraNoiseDenoiser) -> ReIDModel:
    """A copy of ``model`` that denoises its retrieval feature, with one mean for all cameras."""
    model = copy.deepcopy(model)
    model.spec = replace(model.spec, adapted=True)
    layer = EmbeddingDenoiser(model.dim).to(next(model.parameters()))
    layer.set(torch.from_numpy(denoiser.weight), torch.from_numpy(denoiser.mean))
    model.embedding_denoiser = layer
    return model


def _fit(features: NDArray[np.float32], camids: NDArray[np.int64] | None, settings: AdaptSettings) -> Choice:
    if settings.choose and camids is not None:
        return choose_camera_noise(features, camids)
    fitted = fit_camera_noise(features, camids, k=settings.k, shrinkage=settings.shrinkage)
    return Choice(fitted, None, ())


def _comes_nearer(before: NDArray[np.float32], after: NDArray[np.float32], camids: NDArray[np.int64]) -> bool:
    """Whether partners of different cameras come nearer by more than two standard errors."""
    judged = nearness(normalise(before), normalise(after), camids)
    if len(judged) < LEAST_PAIRS:
        return False
    change = float((judged[:, 1] - judged[:, 0]).mean())
    error = standard_error(judged)
    logger.info(
        "BatchNorm statistics of these images: log ratio changes by %+.4f (error %.4f)", change, error
    )
    return change < -2 * error


def _features(
    model: ReIDModel, images: DataLoader[Batch], device: torch.device, knows_cameras: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    batches = iterate(images)
    found = extract_features(
        model.to(device), batches, device, side_information=knows_cameras, total=len(images)
    )
    return found.feats.numpy(), found.camids.numpy()


def _only_images(batches: DataLoader[Batch], device: torch.device) -> Iterable[Tensor]:
    return (batch.images.to(device) for batch in iterate(batches))

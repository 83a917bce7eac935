"""Count, mean and covariance of the features that enter every denoiser, from one pass over images."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reid.denoise.attach import copy_model
from reid.denoise.denoiser import denoisers_by_layer

PER_IMAGE = 16  # feature vectors of one image and layer
TENSOR_BATCH = 16  # images at a time where one tensor holds them all
BUFFER = 1024  # feature vectors that wait for one matrix product
KIND = "reid.denoise statistics 1"


@dataclass(frozen=True)
class Moments:
    """The first two moments of a set of feature vectors, on the CPU in float64.

    Args:
        count: Number of vectors n, at least 1.
        mean: (d,) their mean mu.
        scatter: (d, d) sum of (x - mu)(x - mu)^T over them.

    Raises:
        ValueError: If there are no vectors, the shapes disagree or a value is not finite.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    def __post_init__(self) -> None:
        if self.count < 1 or self.mean.ndim != 1 or self.scatter.shape != 2 * self.mean.shape:
            raise ValueError(
                "moments need count >= 1, mean (d,) and scatter (d, d),"
                f" got {self.count}, {tuple(self.mean.shape)} and {tuple(self.scatter.shape)}"
            )
        if not (self.mean.isfinite().all() and self.scatter.isfinite().all()):
            raise ValueError("moments must be finite; the features are not")

    @property
    def covariance(self) -> Tensor:
        """(d, d) S = scatter / count."""
        return self.scatter / self.count

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together, exact up to rounding in float64.

        Source: Chan, Golub, LeVeque, Algorithms for computing the sample variance, 1983.

        Raises:
            ValueError: If the widths differ.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"widths must agree, got {len(self.mean)} and {len(other.mean)}")
        count = self.count + other.count
        share = other.count / count
        apart = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(apart, apart) * (self.count * share)
        return Moments(count, self.mean + apart * share, scatter)


def gather_statistics(
    model: nn.Module, images: Tensor | Iterable[Tensor], per_image: int | None = PER_IMAGE
) -> dict[str, Moments]:
    """Run the plain network once over ``images`` and measure what enters each denoiser.

    In the pass every denoiser hands its features on unchanged and the model is in eval mode, so the numbers
    are those of the plain network: they hold for any schedule, number of steps and denoiser.

    Neighbouring tokens and pixels say nearly the same, and their products cost more than the network itself
    (a ViT-S's ``fc2`` reads 1,536 channels), so of each image only some vectors count: every s-th of a batch,
    with s the smallest number that leaves at most ``per_image`` an image and shares no factor with how many
    there are. So in a batch of s images or more every position takes its turn.

    Products are float32 (float64 for float64 features), taken around the mean of the first vectors; sums are
    float64.

    Args:
        model: A model with denoisers; left as it was.
        images: What the model is called with: one tensor (N, ...), run in batches, or an iterable of such
            batches, for a loader of this toolkit ``(batch.images for batch in loader)``. Moved to the model's
            device.
        per_image: Most vectors of an image for a layer; None takes all.

    Returns:
        Moments by the name of the denoised layer; the empty name is the model itself.

    Raises:
        ValueError: If the model has no denoisers, there are no images, they are no tensors, or a feature is
            not finite.
        RuntimeError: If a denoised layer did not run.
    """
    if per_image is not None and per_image < 1:
        raise ValueError(f"per_image must be at least 1, got {per_image}")
    model = copy_model(model).eval()
    denoisers = denoisers_by_layer(model)
    if not denoisers:
        raise ValueError("the model has no denoisers; call attach_denoisers first")
    recorders = {name: _Recorder(denoiser.channel_dim, per_image) for name, denoiser in denoisers.items()}
    for name, recorder in recorders.items():
        model.get_submodule(name).denoiser = recorder
    device = next(iter(denoisers.values())).weight.device
    for batch in _batches(images):
        for recorder in recorders.values():
            recorder.num_images = len(batch)
        with torch.no_grad():
            model(batch.to(device))
    missing = [name or "the model" for name, recorder in recorders.items() if recorder.count == 0]
    if missing:
        raise RuntimeError(
            f"denoised layers that did not run: {', '.join(missing)}; leave them out of targets"
        )
    return {name: _finish(name, recorder) for name, recorder in recorders.items()}


def _batches(images: Tensor | Iterable[Tensor]) -> Iterator[Tensor]:
    """Refuses what is no tensor, and nothing at all."""
    number = 0
    for batch in images.split(TENSOR_BATCH) if isinstance(images, Tensor) else images:
        if not isinstance(batch, Tensor):
            raise ValueError(
                f"images must be a tensor or batches that are tensors, got {type(batch).__name__}; pass"
                " (batch.images for batch in loader) for batches that hold more"
            )
        number += len(batch)
        if len(batch):
            yield batch
    if not number:
        raise ValueError("statistics need at least one image, got none")


def _finish(name: str, recorder: _Recorder) -> Moments:
    try:
        return recorder.moments()
    except ValueError as error:
        raise ValueError(f"statistics of {name or 'the model'}: {error}") from error


class _Recorder(nn.Module):
    """Stands in for a denoiser: hands the features on as they are and adds up their moments.

    With the shift s, the mean of the first vectors: sum (x - s) and sum (x - s)(x - s)^T.
    """

    def __init__(self, channel_dim: int, per_image: int | None) -> None:
        super().__init__()
        self.channel_dim, self.per_image = channel_dim, per_image
        self.num_images = 1
        self.count = 0
        self.waiting: list[Tensor] = []
        self.shift = self.sum = self.products = torch.empty(0)

    def forward(self, features: Tensor) -> Tensor:
        rows = torch.atleast_2d(features.movedim(self.channel_dim, -1))
        total = rows.shape[:-1].numel()
        if total:
            numbers = torch.arange(0, total, self._stride(total), device=rows.device)
            # Indexing copies these rows alone; the features themselves may be changed in place later on.
            chosen = rows[torch.unravel_index(numbers, rows.shape[:-1])]
            self.waiting.append(chosen.to(torch.promote_types(rows.dtype, torch.float32)))
            self.count += len(chosen)
            if sum(map(len, self.waiting)) >= BUFFER:
                self._add()
        return features

    def _stride(self, total: int) -> int:
        if self.per_image is None:
            return 1
        stride = -(-total // (self.per_image * self.num_images))
        while math.gcd(stride, total) > 1:
            stride += 1
        return stride

    def _add(self) -> None:
        rows = torch.cat(self.waiting)
        self.waiting = []
        if not len(self.shift):
            self.shift = rows.mean(0)
            self.sum = rows.new_zeros(rows.shape[1], dtype=torch.float64)
            self.products = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        rows -= self.shift
        with torch.autocast(rows.device.type, enabled=False):
            self.products += rows.T @ rows
        self.sum += rows.sum(0, dtype=torch.float64)

    def moments(self) -> Moments:
        """(x - mu) = (x - s) - (mu - s), so the products around s lose n (mu - s)(mu - s)^T."""
        if self.waiting:
            self._add()
        off = self.sum / self.count
        scatter = self.products - self.count * torch.outer(off, off)
        return Moments(self.count, (self.shift.double() + off).cpu(), scatter.cpu())


def merge_statistics(first: Mapping[str, Moments], second: Mapping[str, Moments]) -> dict[str, Moments]:
    """The statistics of two sets of images together, exact up to rounding in float64.

    Raises:
        ValueError: If they are of different layers.
    """
    if first.keys() != second.keys():
        other = sorted(first.keys() ^ second.keys())
        raise ValueError(f"statistics of the same layers are needed, only one side has {', '.join(other)}")
    return {name: moments.merge(second[name]) for name, moments in first.items()}


def save_statistics(statistics: Mapping[str, Moments], path: str | Path) -> None:
    """Write statistics to a file, whole or not at all.

    Raises:
        OSError: If the file cannot be written.
    """
    layers = {name: vars(moments) for name, moments in statistics.items()}
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        torch.save({"kind": KIND, "layers": layers}, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_statistics(path: str | Path) -> dict[str, Moments]:
    """Read what :func:`save_statistics` wrote; no code in the file can run.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds anything else.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if content["kind"] == KIND:
            return {name: Moments(**fields) for name, fields in content["layers"].items()}
    # What torch raises on damaged files, and what comes of a file of another shape.
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
    ):
        pass
    raise ValueError(f"{path} holds no statistics of this version; gather them anew")

"""Moments of the features that enter every denoiser, from one pass over images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from reid.denoise.attach import copy_model, denoiser_parameters
from reid.denoise.denoiser import denoisers_by_layer
from reid.denoise.moments import Moments
from reid.denoise.recorder import Recorder

PER_IMAGE = 8  # feature vectors of one image and layer, in the long run
TENSOR_BATCH = 16  # images at a time where one tensor holds them all

M = TypeVar("M", bound=nn.Module)


def gather_statistics(
    model: nn.Module,
    images: Tensor | Iterable[Tensor | tuple[Tensor | None, ...]],
    per_image: int | None = PER_IMAGE,
    *,
    at_least: int | None = None,
) -> dict[str, Moments]:
    """Run the plain network once over ``images`` and measure what enters each denoiser.

    In the pass every denoiser hands its features on unchanged and the model is in eval mode, so the numbers
    are those of the plain network: they hold for any schedule, number of steps and denoiser.

    Of each layer all vectors are taken until it has seen ``at_least`` of them. So the moments of small
    networks and of few images are exact, and merged ones are those of the union. Beyond that neighbouring
    tokens and pixels say nearly the same, and their products would cost more than the network itself (a
    ViT-S's ``fc2`` reads 1,536 channels): of each later batch of n vectors m stand for all, every s-th, with
    s the smallest number that leaves at most ``per_image`` an image and shares no factor with n. They count
    n / m times each, so ``count`` is the number of vectors that the moments stand for. Each batch begins one
    further, so over s batches of a size each place is taken as often.

    Products are float32 (float64 for float64 features), taken around the mean of the first vectors; sums are
    float64.

    Args:
        model: A model with denoisers; left as it was.
        images: What the model is called with: one tensor (N, ...), run in batches, or an iterable of such
            batches, for a loader of this toolkit ``(batch.images for batch in loader)``; a batch may be a
            tuple of all arguments, tensors or None, with the images first. Moved to the model's device.
        per_image: Most vectors of an image for a layer, of the batches that are not taken whole; None takes
            all.
        at_least: How many vectors of a layer are all taken; by default :func:`least_vectors` of its channels.

    Returns:
        Moments by the name of the denoised layer; the empty name is the model itself.

    Raises:
        ValueError: If the model has no denoisers, there are no images, they are no tensors, a feature is not
            finite, or a number is outside its range.
        RuntimeError: If a denoised layer did not run.
    """
    watched, recorders = place_recorders(model, per_image, at_least)
    device = next(denoiser_parameters(model)).device
    for inputs in _batches(images):
        record(watched, recorders, [part if part is None else part.to(device) for part in inputs])
    missing = [name or "the model" for name, recorder in recorders.items() if recorder.count == 0]
    if missing:
        raise RuntimeError(
            f"denoised layers that did not run: {', '.join(missing)}; leave them out of targets"
        )
    return {name: _finish(name, recorder) for name, recorder in recorders.items()}


def place_recorders(
    model: M, per_image: int | None = PER_IMAGE, at_least: int | None = None
) -> tuple[M, dict[str, Recorder]]:
    """A copy of ``model`` in eval mode with recorders in the places of its denoisers, and these by layer.

    Raises:
        ValueError: If the model has no denoisers or a number is outside its range.
    """
    if per_image is not None and per_image < 1:
        raise ValueError(f"per_image must be at least 1, got {per_image}")
    if at_least is not None and at_least < 0:
        raise ValueError(f"at_least must be at least 0, got {at_least}")
    model = copy_model(model).eval()
    denoisers = denoisers_by_layer(model)
    if not denoisers:
        raise ValueError("the model has no denoisers; call attach_denoisers first")
    recorders = {}
    for name, denoiser in denoisers.items():
        recorders[name] = Recorder(denoiser.channel_dim, per_image, at_least)
        model.get_submodule(name).denoiser = recorders[name]
    return model, recorders


def record(watched: nn.Module, recorders: Mapping[str, Recorder], inputs: Sequence[Any]) -> None:
    """Run what :func:`place_recorders` gave once, on the arguments of one call, the images first."""
    for recorder in recorders.values():
        recorder.num_images = len(inputs[0])
    with torch.no_grad():
        watched(*inputs)


def _batches(images: Tensor | Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """The arguments of each call; refuses what is no tensor, and nothing at all."""
    number = 0
    for batch in images.split(TENSOR_BATCH) if isinstance(images, Tensor) else images:
        # A loader's batch is a tuple too, but one with names: its parts are not the model's arguments.
        inputs = batch if type(batch) is tuple and batch else (batch,)
        if not isinstance(inputs[0], Tensor) or not all(isinstance(i, Tensor | None) for i in inputs):
            raise ValueError(
                f"images must be a tensor or batches that are tensors, got {type(batch).__name__}; pass"
                " (batch.images for batch in loader) for batches that hold more"
            )
        number += len(inputs[0])
        if len(inputs[0]):
            yield inputs
    if not number:
        raise ValueError("statistics need at least one image, got none")


def _finish(name: str, recorder: Recorder) -> Moments:
    try:
        return recorder.moments()
    except ValueError as error:
        raise ValueError(f"statistics of {name or 'the model'}: {error}") from error

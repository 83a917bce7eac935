"""Features of images: extraction by a model, and the table that holds them with their labels."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from reid.evaluation.similarity import check_finite
from reid.utils import InputError, refresh_interval


class LabelledBatch(Protocol):
    """What extraction reads of a batch; ``reid.data``'s is a NamedTuple, hence read-only properties."""

    @property
    def images(self) -> Tensor:
        """(B, 3, H, W) normalised RGB."""

    @property
    def pids(self) -> Tensor:
        """(B,) int64 identities."""

    @property
    def camids(self) -> Tensor:
        """(B,) int64 cameras."""

    @property
    def viewids(self) -> Tensor:
        """(B,) int64 views; read only where a model is given them."""


class Embedder(Protocol):
    """What extraction asks of a model, beside being a module."""

    def embed(self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """Map images (B, 3, H, W), and where it is given them cameras and views, to features (B, D)."""

    def modules(self) -> Iterator[nn.Module]:
        """Yield the module and everything in it."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of N images and whom they show, row by row.

    Args:
        feats: (N, D) float32, on the CPU.
        pids: (N,) int64 identities; -1 unknown.
        camids: (N,) int64 cameras; -1 unknown.

    Raises:
        InputError: If there are no rows, or a feature is not finite.
        ValueError: If the columns differ in length.
    """

    feats: Tensor
    pids: Tensor
    camids: Tensor

    def __post_init__(self) -> None:
        lengths = {len(self.feats), len(self.pids), len(self.camids)}
        if len(lengths) > 1:
            raise ValueError(f"columns must have one length, got {sorted(lengths)}")
        if len(self.feats) == 0:
            raise InputError("a feature table must have at least one row, got none; check the list of images")
        check_finite(self.feats, "extracted")

    def __len__(self) -> int:
        return len(self.feats)

    def select(self, rows: NDArray[np.int64]) -> "FeatureSet":
        """The given rows (M,), in that order."""
        picked = torch.as_tensor(rows)
        return FeatureSet(self.feats[picked], self.pids[picked], self.camids[picked])


def extract_features(
    model: Embedder,
    batches: Iterable[LabelledBatch],
    device: torch.device,
    *,
    side_information: bool = False,
    flip: bool = False,
    progress: bool = True,
    total: int | None = None,
) -> FeatureSet:
    """Embed every image, in the order of the batches.

        f(x)                      of an image x
        (f(x) + f(mirror x)) / 2  with ``flip``; mirror exchanges left and right

    The mean is of the two features as the model gives them: neither is scaled to length 1 before it. The
    model runs in evaluation mode without gradients; each of its modules then gets back the mode it had.

    Args:
        model: Lies on ``device`` already.
        batches: Each with images (B, 3, H, W), pids (B,) and camids (B,).
        device: Where the images are sent.
        side_information: Whether the model is given the cameras and views of the images.
        flip: Whether an image's feature is the mean over it and its mirror image; costs twice the time.
        progress: Show a bar on stderr.
        total: Number of batches, for the bar, where ``batches`` has no length.

    Raises:
        InputError: If there are no images, or a feature is not finite.
        ValueError: If a batch has not one feature row and one label of each kind for each image.
    """
    bar = tqdm(
        batches,
        desc="features",
        unit="batch",
        total=total,
        mininterval=refresh_interval(),
        disable=not progress,
    )
    feats, pids, camids = [], [], []
    with evaluation_mode(model), torch.inference_mode():
        for batch in bar:
            images = batch.images.to(device, non_blocking=True)
            sides = (batch.camids.to(device), batch.viewids.to(device)) if side_information else ()
            found = model.embed(images, *sides).float()
            if flip:
                found = (found + model.embed(images.flip(-1), *sides).float()) / 2
            feats.append(found.cpu())
            pids.append(torch.as_tensor(batch.pids).long())
            camids.append(torch.as_tensor(batch.camids).long())
    if not feats:
        raise InputError("extraction needs at least one image, got none; check the list of images")
    # Joined outside inference mode: its tensors could not be used for training afterwards.
    return FeatureSet(torch.cat(feats), torch.cat(pids).cpu(), torch.cat(camids).cpu())


@contextmanager
def evaluation_mode(*models: Embedder | nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode for the block, then give each back the mode it had."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training

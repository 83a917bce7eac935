"""Detections in a frame, to retrieval features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reid.data import to_rgb
from reid.models import ReIDModel
from reid.retrieval.images import BATCH, embed, is_rgb
from reid.utils import InputError


def embed_boxes(
    model: ReIDModel,
    frame: NDArray[np.uint8] | Image.Image,
    boxes: Any,
    *,
    camid: int | None = None,
    is_bgr: bool = False,
    normalize: bool = False,
    batch_size: int = BATCH,
) -> Tensor:
    """Map the boxes of detections in a frame to retrieval features.

    A box is cut out from floor(x1), floor(y1) to ceil(x2), ceil(y2), after what is outside the frame was
    taken off.

    Args:
        model: As for :func:`embed`.
        frame: (H, W, 3) uint8, or a PIL image.
        boxes: (N, 4) x1, y1, x2, y2 in pixels, x to the right and y down, or anything with such an array as
            its ``xyxy``: ``supervision.Detections``, for one.
        camid: The frame's camera, for models that tell cameras apart.
        is_bgr: As for :func:`embed`; so are ``normalize`` and ``batch_size``.
        normalize: See ``is_bgr``.
        batch_size: See ``is_bgr``.

    Returns:
        (N, D) float32 on the CPU; (0, D) without boxes.

    Raises:
        InputError: If the frame is no image, the boxes no table of four columns, or one of them is not
            finite or holds nothing of the frame; its row is named.
    """
    pixels = to_rgb(frame) if isinstance(frame, Image.Image) else frame
    if not isinstance(pixels, np.ndarray | Image.Image):
        raise InputError(
            f"a frame must be an array (H, W, 3) uint8 or a PIL image, got {type(frame).__name__}; open it"
        )
    pixels = np.asarray(pixels)
    if not is_rgb(pixels):
        raise InputError(f"a frame must be an array (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
    corners = _corners(boxes)
    if not len(corners):
        return torch.empty(0, model.dim)
    height, width = pixels.shape[:2]
    crops = [pixels[top:bottom, left:right] for left, top, right, bottom in _inside(corners, height, width)]
    camids: Sequence[int] | None = None if camid is None else [camid] * len(crops)
    swapped = is_bgr and not isinstance(frame, Image.Image)
    return embed(model, crops, camids=camids, is_bgr=swapped, normalize=normalize, batch_size=batch_size)


def _corners(boxes: Any) -> NDArray[np.float64]:
    """Boxes (N, 4) as numbers."""
    given = getattr(boxes, "xyxy", boxes)
    try:
        if isinstance(given, Tensor) and not given.is_complex():
            given = given.detach().cpu().double()  # numpy knows neither bfloat16 nor gradients
        corners = np.asarray(given).astype(np.float64, casting="same_kind")
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"boxes must be a table (N, 4) of numbers, got {type(given).__name__}") from error
    if corners.shape == (0,):
        return np.empty((0, 4))
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise InputError(f"boxes must be (N, 4): x1, y1, x2, y2, got {corners.shape}")
    return corners


def _inside(corners: NDArray[np.float64], height: int, width: int) -> NDArray[np.int64]:
    """Whole corners (N, 4) inside the frame."""
    if not np.isfinite(corners).all():
        row = int(np.flatnonzero(~np.isfinite(corners).all(1))[0])
        raise InputError(f"box {row} must be finite numbers, got {corners[row].tolist()}; leave it out")
    limits = np.array([width, height])
    low = np.clip(np.floor(corners[:, :2]), 0, limits)
    high = np.clip(np.ceil(corners[:, 2:]), 0, limits)
    empty = np.flatnonzero((high <= low).any(1))
    if len(empty):
        row = int(empty[0])
        raise InputError(
            f"box {row} must hold a pixel of the frame of {width}x{height}, got {corners[row].tolist()};"
            " leave it out"
        )
    return np.concatenate([low, high], axis=1).astype(np.int64)

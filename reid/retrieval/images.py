"""Images in whatever form they come, to retrieval features."""

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from reid.data import UNKNOWN, ImageError, to_rgb
from reid.data.folders import images_below
from reid.models import ReIDModel
from reid.utils import InputError, as_path, at_least_one, progress_bar

Picture = str | Path | Image.Image | NDArray[np.uint8]
BATCH = 64


def embed(
    model: ReIDModel,
    images: Picture | Sequence[Picture],
    *,
    camids: Sequence[int] | None = None,
    is_bgr: bool = False,
    normalize: bool = False,
    batch_size: int = BATCH,
    progress: bool = False,
) -> Tensor:
    """Map images to retrieval features, prepared as the model was trained to see them.

    Nothing of the model is changed, so several threads may embed with one model at the same time.

    Args:
        model: In eval mode, as ``load_model`` gives it, on any device.
        images: A file; a folder, whose images are those that :func:`find_images` lists; an array (H, W, 3)
            uint8; a PIL image; or a sequence of files, arrays of any sizes and PIL images, (N, H, W, 3) among
            them.
        camids: (N,) cameras, whole numbers, -1 unknown, for models that tell cameras apart.
        is_bgr: Whether arrays have OpenCV's order of colours instead of RGB.
        normalize: Whether features are scaled to length 1, so that their products are cosines.
        batch_size: Images that go through the network at a time.
        progress: Whether to show a bar.

    Returns:
        (N, D) float32 on the CPU, in the order of the images.

    Raises:
        InputError: If there is no image, one cannot be read or is of another kind (named by its path or
            place), the model is in training mode or gives features that are not finite, or there is not one
            camera for each image.
        ValueError: If the model was built without preprocessing.

    Example:
        >>> import numpy as np
        >>> from reid.models import ModelSpec, Preprocessing, ReIDModel
        >>> prepared = Preprocessing((64, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        >>> model = ReIDModel(ModelSpec("vit_micro", (64, 32), 3), prepared).eval()
        >>> embed(model, np.zeros((120, 50, 3), np.uint8)).shape
        torch.Size([1, 128])
    """
    if model.training:
        raise InputError("the model must be in eval mode to embed, it is in training mode; call model.eval()")
    batch_size = at_least_one(batch_size, "batch_size")
    pictures = _listed(images)
    if not pictures:
        raise InputError("embed needs at least one image, got none")
    cameras = None if camids is None else _cameras(camids, len(pictures))
    device = next(model.parameters()).device
    found = []
    with progress_bar(len(pictures), "images", "image", show=progress) as bar:
        for start in range(0, len(pictures), batch_size):
            part = range(start, min(start + batch_size, len(pictures)))
            batch = torch.stack([model.preprocess(_opened(pictures[place], place, is_bgr)) for place in part])
            numbers = None if cameras is None else cameras[part.start : part.stop]
            found.append(model.embed(batch.to(device), numbers).float().cpu())
            bar.update(len(part))
    feats = torch.cat(found)
    if not feats.isfinite().all():
        raise InputError("features must be finite, the model gives NaN or infinity; check its weights")
    return F.normalize(feats, dim=1) if normalize else feats


def find_images(folder: str | Path) -> list[Path]:
    """The images that :func:`embed` takes of a folder, in its order: row n of the features is of path n.

    Those of all folders below are among them, sorted by their paths as text. Hidden ones are left out, and
    files that do not end in .jpg, .jpeg, .png, .bmp, .webp, .tif or .tiff, in either case.

    Raises:
        InputError: If there is no such folder, or no image in it.
        OSError: If a folder cannot be listed.
    """
    folder = as_path(folder)
    if not folder.is_dir():
        raise InputError(f"images are found in a folder, {folder} is none")
    return [folder / name for name in images_below(folder)]


def _cameras(camids: Any, count: int) -> NDArray[np.int64]:
    """Cameras (count,) as whole numbers."""
    try:
        cameras = np.asarray(camids)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"camids must be a list of whole numbers, got {reprlib.repr(camids)}") from error
    if cameras.shape != (count,):
        raise InputError(f"camids must be one for each of {count} images, got {reprlib.repr(camids)}")
    if cameras.dtype.kind not in "iu" or not _are_cameras(cameras):
        raise InputError(
            f"camids must be whole numbers, {UNKNOWN} for an unknown one, got {reprlib.repr(camids)}"
        )
    return cameras.astype(np.int64)


def _are_cameras(cameras: NDArray[Any]) -> bool:
    """Whether whole numbers are cameras or unknown ones, and fit into 64 bits."""
    return bool(((cameras >= UNKNOWN) & (cameras <= np.iinfo(np.int64).max)).all())


def _listed(images: Picture | Sequence[Picture]) -> Sequence[Picture]:
    """The images one by one."""
    if isinstance(images, str | Path):
        path = as_path(images)
        return find_images(path) if path.is_dir() else [path]
    if isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4):
        return [images]
    if isinstance(images, Tensor):
        raise InputError("embed takes images, not tensors: model.embed takes those that are prepared already")
    try:
        return list(images)
    except TypeError as error:
        raise InputError(f"embed takes images or a sequence of them, got {type(images).__name__}") from error


def _opened(picture: Any, place: int, is_bgr: bool) -> Image.Image | Path:
    if isinstance(picture, str | Path):
        return as_path(picture)
    if isinstance(picture, Image.Image):
        try:
            return to_rgb(picture)
        except ImageError as error:
            raise InputError(f"image {place}: {error}") from error
    if not isinstance(picture, np.ndarray):
        raise InputError(
            f"image {place} must be a path, an array or a PIL image, got {type(picture).__name__}"
        )
    if not is_rgb(picture) or 0 in picture.shape:
        raise InputError(
            f"image {place} must be an array (H, W, 3) uint8, got {picture.shape} {picture.dtype}"
        )
    return Image.fromarray(np.ascontiguousarray(picture[..., ::-1] if is_bgr else picture))


def is_rgb(pixels: NDArray[Any]) -> bool:
    """Whether an array is (H, W, 3) uint8."""
    return pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3

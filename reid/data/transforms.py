"""Image to tensor, for training and for evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from reid.utils import InputError


@dataclass(frozen=True)
class SizedTransform:
    """A resize, and what follows it; a resized image may be kept, because the resize draws nothing.

    Args:
        size: (H, W) in pixels, after the resize.
        resize: From an RGB image to one of ``size``.
        finish: From the resized image to a (3, H, W) float32 tensor; may be random.
    """

    size: tuple[int, int]
    resize: Callable[[Image.Image], Image.Image]
    finish: Callable[[Image.Image], Tensor]

    def __call__(self, image: Image.Image) -> Tensor:
        """All of it, from an RGB image of any size."""
        return self.finish(self.resize(image))


def train_transform(
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    flip_prob: float = 0.5,
    padding: int = 10,
    erase_prob: float = 0.5,
    color_jitter: float = 0.0,
    hue_jitter: float = 0.0,
    grayscale_prob: float = 0.0,
    affine_degrees: float = 0.0,
    affine_scale: float = 0.0,
) -> SizedTransform:
    """The field's training pipeline, with TransReID's order and parameters.

    Bicubic resize, horizontal flip, rotation and scaling, zero padding, random crop back to ``size``, colour
    jitter, grey, normalisation, and one rectangle of normal noise over 2 % to 33 % of the normalised image.
    Rotation, scaling, colour jitter and grey are ours and off by default.

    Args:
        size: (H, W) in pixels.
        mean: Three channel means of RGB in [0, 1].
        std: Three channel deviations.
        flip_prob: Probability of the flip.
        padding: Pixels added on each side before the crop.
        erase_prob: Probability of the rectangle.
        color_jitter: Largest relative change of brightness, contrast and saturation, each; 0 leaves it out.
        hue_jitter: Largest change of the hue, as a share of the colour circle, up to 0.5.
        grayscale_prob: Probability that an image loses its colours.
        affine_degrees: Largest rotation, in degrees.
        affine_scale: s, for a random scale from 1 / (1 + s) to 1 + s.

    Raises:
        InputError: If a probability is outside [0, 1], or the size, padding or jitter is out of range.
    """
    _check_size(size)
    _check_range("the probability of a flip", flip_prob, 0, 1)
    _check_range("the probability of erasing", erase_prob, 0, 1)
    _check_range("colour jitter", color_jitter, 0, 1)
    _check_range("padding", padding, 0, min(size))
    _check_range("hue jitter", hue_jitter, 0, 0.5)
    _check_range("the probability of grey", grayscale_prob, 0, 1)
    _check_range("the rotation in degrees", affine_degrees, 0, 180)
    _check_range("the change of scale", affine_scale, 0, 1)
    has_affine, has_jitter = affine_degrees or affine_scale, color_jitter or hue_jitter
    scale = (1 / (1 + affine_scale), 1 + affine_scale)
    affine = [T.RandomAffine(affine_degrees, scale=scale, interpolation=InterpolationMode.BILINEAR)]
    jitter = [T.ColorJitter(color_jitter, color_jitter, color_jitter, hue_jitter)]
    grey = [T.RandomGrayscale(grayscale_prob)]
    finish = T.Compose(
        [
            T.RandomHorizontalFlip(flip_prob),
            *(affine if has_affine else []),
            T.Pad(padding),
            T.RandomCrop(size),
            *(jitter if has_jitter else []),
            *(grey if grayscale_prob else []),
            T.ToTensor(),
            T.Normalize(mean, std),
            RandomErasing(probability=erase_prob, mode="pixel", max_count=1, device="cpu"),
        ]
    )
    return SizedTransform(size, T.Resize(size, interpolation=InterpolationMode.BICUBIC), finish)


def test_transform(
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",  # noqa: PT028 (no test in spite of its name)
) -> SizedTransform:
    """The field's evaluation pipeline: resize and normalisation, nothing random.

    Args:
        size: (H, W) in pixels.
        mean: Three channel means of RGB in [0, 1].
        std: Three channel deviations.
        interpolation: Of the resize; most of the field tests bilinear, fast-reid bicubic.

    Raises:
        InputError: If the size is not positive.
    """
    _check_size(size)
    resize = T.Resize(size, interpolation=InterpolationMode(interpolation))
    return SizedTransform(size, resize, T.Compose([T.ToTensor(), T.Normalize(mean, std)]))


def _check_size(size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"the image size must be a positive height and width, got {tuple(size)}")


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{what} must be from {low} to {high}, got {value}")

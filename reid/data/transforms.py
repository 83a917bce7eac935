"""Image to tensor, for training and for evaluation."""

from collections.abc import Sequence

from timm.data.random_erasing import RandomErasing
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from reid.data.image_dataset import Transform
from reid.utils import InputError


def train_transform(
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    flip_prob: float = 0.5,
    padding: int = 10,
    erase_prob: float = 0.5,
    color_jitter: float = 0.0,
) -> Transform:
    """The field's training pipeline, with TransReID's order and parameters.

    Bicubic resize, horizontal flip, zero padding, random crop back to ``size``, colour jitter, normalisation,
    and one rectangle of normal noise over 2 % to 33 % of the normalised image.

    Args:
        size: (H, W) in pixels.
        mean: Three channel means of RGB in [0, 1].
        std: Three channel deviations.
        flip_prob: Probability of the flip.
        padding: Pixels added on each side before the crop.
        erase_prob: Probability of the rectangle.
        color_jitter: Largest relative change of brightness, contrast and saturation, each; 0 leaves it out.

    Raises:
        InputError: If a probability is outside [0, 1], or the size, padding or jitter is out of range.
    """
    _check_size(size)
    _check_range("the probability of a flip", flip_prob, 0, 1)
    _check_range("the probability of erasing", erase_prob, 0, 1)
    _check_range("colour jitter", color_jitter, 0, 1)
    _check_range("padding", padding, 0, min(size))
    jitter = [T.ColorJitter(color_jitter, color_jitter, color_jitter)] if color_jitter else []
    return T.Compose(
        [
            T.Resize(size, interpolation=InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(flip_prob),
            T.Pad(padding),
            T.RandomCrop(size),
            *jitter,
            T.ToTensor(),
            T.Normalize(mean, std),
            RandomErasing(probability=erase_prob, mode="pixel", max_count=1, device="cpu"),
        ]
    )


def test_transform(size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Transform:
    """The field's evaluation pipeline: bilinear resize and normalisation, nothing random.

    Args:
        size: (H, W) in pixels.
        mean: Three channel means of RGB in [0, 1].
        std: Three channel deviations.

    Raises:
        InputError: If the size is not positive.
    """
    _check_size(size)
    resize = T.Resize(size, interpolation=InterpolationMode.BILINEAR)
    return T.Compose([resize, T.ToTensor(), T.Normalize(mean, std)])


def _check_size(size: tuple[int, int]) -> None:
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"the image size must be a positive height and width, got {tuple(size)}")


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{what} must be from {low} to {high}, got {value}")

"""How each family's own code prepares an image: normalisation and resampling."""

from dataclasses import dataclass
from typing import Literal

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BICUBIC = {"fast-reid"}


@dataclass(frozen=True)
class ImageRule:
    """Normalisation of RGB values in 0..1, and the resampling of the resize.

    Args:
        mean: Of the normalisation.
        std: Likewise.
        interpolation: ``bilinear`` or ``bicubic``, both with Pillow's antialiasing.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


def image_rule(family: str, is_transformer: bool, is_distilled: bool = False) -> ImageRule:
    """What a family's networks were trained and tested with.

    Vision transformers see values from -1 to 1, as TransReID feeds timm's and DeiT's weights alike; only a
    distilled DeiT can be told from timm by its keys, and keeps ImageNet's statistics. Convolutional networks
    have ImageNet's everywhere.

    Args:
        family: A family's name.
        is_transformer: Whether the network is a vision transformer.
        is_distilled: Whether it has DeiT's distillation token.
    """
    bicubic = family in BICUBIC or (family == "imagenet" and is_transformer)
    half = is_transformer and not is_distilled
    return ImageRule(
        HALF if half else IMAGENET_MEAN, HALF if half else IMAGENET_STD, "bicubic" if bicubic else "bilinear"
    )

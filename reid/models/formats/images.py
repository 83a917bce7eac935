"""How each family's own code prepares an image: normalisation and resampling."""

from dataclasses import dataclass
from typing import Literal

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
BICUBIC = {"fast-reid", "clip"}


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


def image_rule(family: str, network: str, is_distilled: bool = False) -> ImageRule:
    """What a family's networks were trained and tested with.

    Vision transformers see values from -1 to 1, as TransReID feeds timm's and DeiT's weights alike; only a
    distilled DeiT can be told from timm by its keys, and keeps ImageNet's statistics. Convolutional networks
    and Swin transformers have ImageNet's everywhere. CLIP has its own, which CLIP-ReID does not use.

    Args:
        family: A family's name.
        network: As ``FileFormat`` names it.
        is_distilled: Whether it has DeiT's distillation token.
    """
    is_bicubic = family in BICUBIC or (family == "imagenet" and network != "resnet")
    interpolation: Literal["bilinear", "bicubic"] = "bicubic" if is_bicubic else "bilinear"
    if family == "clip":
        return ImageRule(CLIP_MEAN, CLIP_STD, interpolation)
    if network.endswith("vit") and not is_distilled:
        return ImageRule(HALF, HALF, interpolation)
    return ImageRule(IMAGENET_MEAN, IMAGENET_STD, interpolation)

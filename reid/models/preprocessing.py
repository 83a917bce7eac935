"""How an image becomes a model's input, as a checkpoint keeps it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from PIL import Image
from torch import Tensor

from reid.data import read_image, test_transform, to_rgb
from reid.utils import InputError

MAX_SIDE = 4096
MIN_STD, MAX_STD = 1e-3, 1000


@dataclass(frozen=True)
class Preprocessing:
    """Resize to one size, and normalisation; nothing random.

    Args:
        size: Height and width in pixels.
        mean: Of the normalisation, RGB, on values in 0..1.
        std: Likewise.
        interpolation: Of the resize, with antialiasing; most of the field tests bilinear, fast-reid bicubic.

    Raises:
        InputError: If a side is outside 1..4096, a mean outside 0..1, or a deviation outside 0.001..1000.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        check_size("size", self.size)
        # Written so that NaN, which compares false with everything, is refused too.
        if not all(0 <= value <= 1 for value in self.mean):
            raise InputError(f"mean must be three numbers in 0..1, got {self.mean}")
        if not all(MIN_STD <= value <= MAX_STD for value in self.std):
            raise InputError(f"std must be three numbers in {MIN_STD}..{MAX_STD}, got {self.std}")

    def describe(self) -> str:
        """All of it in words, for code that prepares images by itself."""
        height, width = self.size
        mean, std = (", ".join(f"{value:g}" for value in three) for three in (self.mean, self.std))
        return (
            f"{height}x{width} pixels, {self.interpolation} with antialiasing, RGB in 0..1 less ({mean}),"
            f" over ({std})"
        )

    def instead_of(self, other: "Preprocessing") -> str:
        """What differs from another, in words; empty where nothing does."""
        own, asked = asdict(self), asdict(other)
        return ", ".join(
            f"{name} {own[name]} instead of {asked[name]}" for name in own if own[name] != asked[name]
        )

    def __call__(self, image: Image.Image | str | Path) -> Tensor:
        """Map an image or an image file of any size to (3, H, W) float32, normalised.

        Raises:
            InputError: If the file cannot be read as an image, or something else is given, an array too:
                ``Image.fromarray(array)`` makes a picture of RGB, and ``reid.embed`` takes it as it is.
        """
        if not isinstance(image, Image.Image | str | Path):
            raise InputError(
                f"an image must be a path or a PIL image, got {type(image).__name__}; reid.embed takes arrays"
            )
        picture = image if isinstance(image, Image.Image) else read_image(Path(image))
        return self._transform(to_rgb(picture))

    @cached_property
    def _transform(self) -> Callable[[Image.Image], Tensor]:
        return test_transform(self.size, self.mean, self.std, self.interpolation)


def check_size(name: str, size: tuple[int, int]) -> None:
    """Refuse a height or width that no image here has.

    Raises:
        InputError: If a side is outside 1..4096.
    """
    if not 1 <= min(size) <= max(size) <= MAX_SIDE:
        raise InputError(f"{name} must be a height and width in 1..{MAX_SIDE} pixels, got {tuple(size)}")

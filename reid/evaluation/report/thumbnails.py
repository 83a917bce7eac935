"""Small images inside a page: each is embedded once, as a rule of the style sheet that its places share."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from reid.evaluation.pictures import read_picture

PIXELS = 112  # longest side
QUALITY = 60  # of JPEG: a person is about 2 kB


class Thumbnails:
    """Numbers images in the order of their first use, and embeds those used.

    Args:
        images: By name, where the file lies.
    """

    def __init__(self, images: Mapping[str, Path]) -> None:
        self._images = images
        self._numbers: dict[str, int] = {}

    def css_class(self, name: str) -> str:
        """What an element is called that shows the image, beside ``thumb``."""
        return f"t{self._numbers.setdefault(name, len(self._numbers))}"

    def style(self) -> str:
        """The rules of all images used so far, and the shape of their cells, the median of their own.

        Raises:
            InputError: If an image cannot be read.
        """
        rules, ratios = [], []
        for name, number in self._numbers.items():
            picture = read_picture(self._images[name], PIXELS)
            ratios.append(picture.width / picture.height)
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=QUALITY, optimize=True)
            data = base64.b64encode(file.getvalue()).decode()
            rules.append(f".t{number}{{background-image:url(data:image/jpeg;base64,{data})}}")
        return "\n".join([f":root{{--shape:{median(ratios or [1]):.3f}}}", *rules])

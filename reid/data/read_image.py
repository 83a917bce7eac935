"""One image file to RGB pixels: the only place that opens images.

Pillow decodes, because the field's features were made with it: the pixels are those of its
``convert("RGB")``. The orientation that a camera notes in EXIF is not applied, grey levels are repeated, and
transparency is dropped, as all of TransReID, fast-reid and torchreid do. OpenCV's decoder is faster, but
Pillow's resize needs its image back, and with that copy 1 % to 9 % of an image's time are left of the gain:
too little for a second decoder with other rules (``benchmarks/read_images.py``).
"""

import io
import os
import stat
import struct
from pathlib import Path

from PIL import Image

from reid.utils import InputError


class ImageError(InputError):
    """An image cannot be read; the message names it."""


def read_image(path: Path) -> Image.Image:
    """Decode an image completely, as RGB.

    Raises:
        ImageError: If it is missing, no regular file, empty, cut short or not an image.
    """
    return decode_image(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The content of an image file.

    Raises:
        ImageError: If it is missing, no regular file, empty, or cannot be read.
    """
    try:
        # Asked before opening: opening a named pipe waits for its writer, for ever where there is none.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _unreadable(path, "it is not a regular file")
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise _unreadable(path, "it does not exist") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if not data:
        raise _unreadable(path, "it is empty")
    return data


def decode_image(data: bytes, path: Path) -> Image.Image:
    """Decode the content of the image file ``path`` completely, as RGB.

    Raises:
        ImageError: If it is cut short or not an image.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            # Most images are RGB already, and convert would copy them.
            return image if image.mode == "RGB" else image.convert("RGB")
    except Image.UnidentifiedImageError as error:
        raise _unreadable(path, "its content is no known image format") from error
    # What Pillow's decoders raise on damaged files, depending on the format and the place of the damage.
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise _unreadable(path, " ".join(str(error).split())) from error


def _unreadable(path: Path, reason: str) -> ImageError:
    return ImageError(f"an image must be readable, {path} is not: {reason}; restore or remove it")

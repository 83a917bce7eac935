"""One image file to RGB pixels: the only place that opens images.

Pillow decodes unless OpenCV is asked for, because the field's features were made with it: the pixels are
those of its ``convert("RGB")``. The orientation that a camera notes in EXIF is not applied, grey levels are
repeated, and transparency is dropped, as all of TransReID, fast-reid and torchreid do. Of 16 bits the upper 8
are taken, where ``convert`` would make all but the darkest pixels white.

OpenCV decodes RGB and grey images of 8 bits. It is faster, but Pillow's antialiased resize needs its image
back, and with that copy 1 % to 9 % of an image's time are left of the gain (``benchmarks/read_images.py``).
Of lossless images its pixels are the same; of JPEG they differ by at most 3 grey levels where the two have
different decoders inside, and by none where they share one.
"""

import io
import os
import stat
import struct
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from reid.utils import InputError

Decoder = Literal["pillow", "opencv"]
OPENCV = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
MOST_BYTES = 1 << 30  # of a file; it is read whole


DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,  # AVIF; BLP's and DDS's NotImplementedError is one
    struct.error,
    Image.DecompressionBombError,
)


_OF_32_BITS = "its numbers are of 32 bits (mode {}), and nobody knows its white; save it with 8 or 16"


class ImageError(InputError):
    """An image cannot be read; the message names it."""


def read_image(path: Path, decoder: Decoder = "pillow") -> Image.Image:
    """Decode an image completely, as RGB.

    Args:
        path: The image file.
        decoder: ``pillow``, or ``opencv`` where it follows the same rules: RGB and grey images of 8 bits.

    Raises:
        ImageError: If it is missing, no regular file, empty, of more than 1 GiB, cut short, not an image, or
            of 32 bits a number.
    """
    return decode_image(read_bytes(path), path, decoder)


def read_bytes(path: Path) -> bytes:
    """The content of an image file.

    Raises:
        ImageError: If it is missing, no regular file, empty, of more than 1 GiB, or cannot be read.
    """
    try:
        # Asked before opening: opening a named pipe waits for its writer, for ever where there is none.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise _unreadable(path, "it is not a regular file")
        if status.st_size > MOST_BYTES:
            raise _unreadable(path, f"it has {status.st_size} bytes, an image has 1 GiB at most")
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise _unreadable(path, "it does not exist") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if not data:
        raise _unreadable(path, "it is empty")
    return data


def decode_image(data: bytes, path: Path, decoder: Decoder = "pillow") -> Image.Image:
    """Decode the content of the image file ``path`` completely, as RGB; see :func:`read_image`.

    Raises:
        ImageError: If it is cut short, not an image, or of 32 bits a number.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if decoder == "opencv" and image.mode in ("RGB", "L") and "transparency" not in image.info:
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), OPENCV)
                if pixels is not None:
                    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
                # What OpenCV cannot decode, Pillow decodes or says what is wrong with.
            image.load()
            return _as_rgb(image)
    except Image.UnidentifiedImageError as error:
        raise _unreadable(path, "its content is no known image format") from error
    # What Pillow's decoders raise on damaged files, depending on the format and the place of the damage.
    except DAMAGED as error:
        raise _unreadable(path, " ".join(str(error).split())) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """An image as RGB of 8 bits, as :func:`read_image` gives it; itself where it is.

    Raises:
        ImageError: If it has no pixel, is cut short, closed, or of 32 bits a number.
    """
    if 0 in image.size:
        raise ImageError(f"an image must have pixels, this one is of {image.width}x{image.height}")
    try:
        image.load()  # what was opened and not read yet may be cut short
        return _as_rgb(image)
    except DAMAGED as error:
        raise ImageError(
            f"an image must be readable, this one is not: {' '.join(str(error).split())}"
        ) from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":  # most are, and convert would copy them
        return image
    # Of 16 bits Pillow opens some as 32, of formats that have none.
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError(_OF_32_BITS.format(image.mode))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _unreadable(path: Path, reason: str) -> ImageError:
    return ImageError(f"an image must be readable, {path} is not: {reason}; restore or remove it")

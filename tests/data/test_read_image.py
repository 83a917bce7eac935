import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.data import ImageError, read_image
from reid.utils import InputError


def pixels(height=40, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def picture(mode):
    if mode == "I;16":
        return Image.fromarray(pixels()[..., 0].astype(np.uint16) * 7)
    return Image.fromarray(pixels()).convert(mode)


def encoded(kind, mode="RGB", **options):
    stream = io.BytesIO()
    picture(mode).save(stream, kind, **options)
    return stream.getvalue()


def rotated_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    return encoded("JPEG", exif=exif)


CASES = {
    "png": encoded("PNG"),
    "grey": encoded("PNG", "L"),
    "grey_alpha": encoded("PNG", "LA"),
    "palette": encoded("PNG", "P"),
    "alpha": encoded("PNG", "RGBA"),
    "bilevel": encoded("PNG", "1"),
    "transparent": encoded("PNG", transparency=(0, 0, 0)),
    "jpeg": encoded("JPEG"),
    "grey_jpeg": encoded("JPEG", "L"),
    "cmyk": encoded("JPEG", "CMYK"),
    "progressive": encoded("JPEG", progressive=True),
    "trailing": encoded("JPEG") + b"bytes after the end",
    "exif": rotated_by_exif(),
}
all_cases = pytest.mark.parametrize("data", CASES.values(), ids=CASES.keys())


@all_cases
def test_pixels_are_those_of_pillows_conversion(tmp_path, data):
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (30, 40))
    with Image.open(path) as opened:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_of_16_bits_the_upper_8_are_taken(tmp_path, kind):
    grey = np.arange(0, 65536, 16, np.uint16).reshape(64, 64)
    Image.fromarray(grey).save(tmp_path / "a", kind)
    for decoder in ("pillow", "opencv"):
        found = np.asarray(read_image(tmp_path / "a", decoder))
        np.testing.assert_array_equal(found, np.repeat(grey[..., None] // 256, 3, axis=2))


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path):
    """Some 50 kB that unpack to 1.2 GB of RGB."""
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(ImageError, match=r"bomb\.png is not: .*decompression bomb"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_taken(tmp_path, kind):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:], **options)
    assert np.asarray(read_image(tmp_path / "a")).tolist() == [[[255, 0, 0]] * 8] * 6


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_numbers_of_32_bits_are_refused_as_nobody_knows_their_white(tmp_path, dtype):
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif is not: its numbers are of 32 bits") as refused:
        read_image(tmp_path / "a.tif")
    assert str(refused.value).count("must be readable") == 1


def test_a_lossless_image_is_read_as_it_was_written(tmp_path):
    Image.fromarray(pixels()).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.png")), pixels())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"no image", "its content is no known image format"),
        (encoded("JPEG")[:400], ""),
        (encoded("JPEG")[:-2], ""),
        (encoded("PNG")[:400], ""),
        (encoded("JPEG")[:20], ""),
        (encoded("PNG")[:20], ""),
    ],
    ids=["zero_bytes", "text", "cut_jpeg", "jpeg_without_end", "cut_png", "jpeg_head", "png_head"],
)
def test_a_damaged_image_is_refused_with_its_path(tmp_path, data, reason):
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    one_line = rf"\Aan image must be readable, {re.escape(str(path))} is not: {reason}[^\n]*; restore or"
    with pytest.raises(ImageError, match=one_line):
        read_image(path)


def test_what_is_no_regular_file_is_refused_without_being_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path, tmp_path / "pipe.jpg", Path("/dev/zero")):
        with pytest.raises(ImageError, match=f"{path} is not: it is not a regular file; restore"):
            read_image(path)


def test_a_missing_and_a_forbidden_image_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg is not: it does not exist; restore"):
        read_image(tmp_path / "gone.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="is not: Not a directory; restore"):
        read_image(tmp_path / "file" / "a.jpg")
    assert issubclass(ImageError, InputError)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_damage_anywhere_gives_an_image_or_an_image_error(tmp_path, kind):
    data, rng, path = encoded(kind), np.random.default_rng(0), tmp_path / "image"
    refused = 0
    for _ in range(60):
        damaged = bytearray(data[: rng.integers(1, len(data) + 1)])
        for place in rng.integers(0, min(len(damaged), 200), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_image(path)
        except ImageError:
            refused += 1
    assert refused > 20


@all_cases
def test_opencv_follows_the_same_rules_within_three_grey_levels_of_jpeg(tmp_path, data):
    path = tmp_path / "image"
    path.write_bytes(data)
    by_pillow = np.asarray(read_image(path), np.int16)
    by_opencv = np.asarray(read_image(path, "opencv"), np.int16)
    most = 3 if data[:2] == b"\xff\xd8" else 0
    assert np.abs(by_opencv - by_pillow).max() <= most


def test_opencv_decodes_what_it_is_asked_to(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    path.write_bytes(encoded("PNG"))
    monkeypatch.setattr("cv2.imdecode", lambda *_: np.full((2, 2, 3), (1, 2, 3), np.uint8))
    assert np.asarray(read_image(path, "opencv"))[0, 0].tolist() == [3, 2, 1]


def test_damage_is_refused_alike_by_opencv(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 no image")
    with pytest.raises(ImageError, match=re.escape(str(path))):
        read_image(path, "opencv")


def test_a_giant_file_is_refused_before_it_fills_the_memory(tmp_path):
    (tmp_path / "a.jpg").touch()
    os.truncate(tmp_path / "a.jpg", 2**30 + 1)  # sparse: it takes no disk
    with pytest.raises(ImageError, match="1073741825 bytes, an image has 1 GiB at most"):
        read_image(tmp_path / "a.jpg")

"""An image's way into a model."""

import numpy as np
import pytest
import torch
from PIL import Image

from reid.models import Preprocessing
from reid.utils import InputError

PREPARE = Preprocessing((8, 4), (0.5, 0.25, 0.0), (0.5, 0.25, 1.0))


def test_a_plain_colour_is_normalised_by_hand():
    image = PREPARE(Image.new("RGB", (30, 50), (255, 0, 51)))
    assert image.shape == (3, 8, 4)
    assert image.dtype == torch.float32
    expected = torch.tensor([1.0, -1.0, 0.2]).view(3, 1, 1).expand(3, 8, 4)
    torch.testing.assert_close(image, expected)


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_file_goes_the_way_of_its_image(kind, tmp_path):
    path = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 10, 3), np.uint8)).save(path)
    with Image.open(path) as image:
        assert torch.equal(PREPARE(kind(path)), PREPARE(image))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_resize_is_pils_own(interpolation):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 10, 3), np.uint8))
    resized = np.asarray(image.resize((4, 8), Image.Resampling[interpolation.upper()]))
    plain = Preprocessing((8, 4), (0, 0, 0), (1, 1, 1), interpolation)
    torch.testing.assert_close(plain(image), torch.tensor(resized).permute(2, 0, 1) / 255)


def test_other_modes_become_rgb():
    assert torch.equal(PREPARE(Image.new("L", (9, 9), 255)), PREPARE(Image.new("RGB", (9, 9), "white")))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.jpg is not: it does not exist"):
        PREPARE(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("size", "std", "message"),
    [
        ((0, 4), (1, 1, 1), r"size must be a height and width in 1\.\.4096 pixels, got \(0, 4\)"),
        ((8, 5000), (1, 1, 1), r"size must be .*, got \(8, 5000\)"),
        ((8, 4), (1, 1e-300, 1), r"std must be three numbers in 0\.001\.\.1000, got \(1, 1e-300, 1\)"),
        ((8, 4), (1, 1e4, 1), "std must be three numbers in"),
        ((8, 4), (1, float("nan"), 1), "std must be three numbers in"),
        ((8, 4), (1, 0, 1), r"std must be three numbers in 0\.001\.\.1000, got \(1, 0, 1\)"),
    ],
)
def test_numbers_out_of_range_are_refused(size, std, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(size, (0, 0, 0), std)


@pytest.mark.parametrize("value", [1e300, -1e30, -0.1, 1.1, float("nan")])
def test_a_mean_that_no_image_has_is_refused(value):
    with pytest.raises(InputError, match=r"mean must be three numbers in 0\.\.1, got "):
        Preprocessing((8, 4), (0.5, value, 0.5), (1, 1, 1))


def test_it_is_told_in_words():
    told = Preprocessing((256, 128), (0.5, 0.4, 0.485), (0.5, 0.2, 1.0), "bicubic").describe()
    words = (
        "256x128 pixels, bicubic with antialiasing, RGB in 0..1 less (0.5, 0.4, 0.485), over (0.5, 0.2, 1)"
    )
    assert told == words

import random

import numpy as np
import pytest
import torch
from PIL import Image

from reid.data import test_transform as evaluation_transform
from reid.data import train_transform
from reid.utils import InputError

SIZE = (24, 12)
HALF = [0.5, 0.5, 0.5]
NONE, ONE = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
STILL = {"flip_prob": 0.0, "padding": 0, "erase_prob": 0.0}


def photo(height=50, width=31, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def white(height=50, width=31):
    return Image.new("RGB", (width, height), (255, 255, 255))


def resized(image, filter_, mean, std):
    """(3, H, W) by PIL and numpy alone."""
    values = np.asarray(image.resize(SIZE[::-1], filter_), np.float32) / 255
    return torch.from_numpy(((values - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1).copy())


def test_evaluation_is_pils_bilinear_resize_normalised():
    image = photo()
    result = evaluation_transform(SIZE, MEAN, STD)(image)
    assert (result.shape, result.dtype) == ((3, 24, 12), torch.float32)
    torch.testing.assert_close(result, resized(image, Image.Resampling.BILINEAR, MEAN, STD))


def test_evaluation_draws_nothing():
    transform, before = evaluation_transform(SIZE, MEAN, STD), torch.get_rng_state()
    results = [transform(photo()) for _ in range(5)]
    assert all(torch.equal(results[0], result) for result in results)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_training_without_chance_is_pils_bicubic_resize_with_the_flip(flip):
    image = photo()
    result = train_transform(SIZE, MEAN, STD, **{**STILL, "flip_prob": flip})(image)
    expected = resized(image, Image.Resampling.BICUBIC, MEAN, STD)
    torch.testing.assert_close(result, expected.flip(2) if flip else expected)


@pytest.mark.parametrize(("height", "width"), [(24, 12), (5, 7), (200, 20), (1, 1)])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_images_of_any_size_come_out_alike_and_in_range(height, width, jitter):
    torch.manual_seed(0)
    transform = train_transform(SIZE, HALF, HALF, erase_prob=0.0, padding=4, color_jitter=jitter)
    for seed in range(5):
        result = transform(photo(height, width, seed))
        assert (result.shape, result.dtype) == ((3, 24, 12), torch.float32)
        assert result.min() >= -1
        assert result.max() <= 1
    assert evaluation_transform(SIZE, HALF, HALF)(photo(height, width)).shape == (3, 24, 12)


def test_the_flip_comes_about_as_often_as_asked():
    torch.manual_seed(0)
    transform = train_transform(SIZE, NONE, ONE, flip_prob=0.3, padding=0, erase_prob=0.0)
    image = photo()
    plain = train_transform(SIZE, NONE, ONE, **STILL)(image)
    flips = sum(not torch.equal(transform(image), plain) for _ in range(400))
    assert 85 < flips < 155


def test_the_border_is_zero_and_counted_in_pixels_of_the_result():
    torch.manual_seed(0)
    transform = train_transform(SIZE, NONE, ONE, flip_prob=0.0, padding=3, erase_prob=0.0)
    corners = set()
    for _ in range(300):
        result = transform(white(500, 310))
        assert set(result.unique().tolist()) <= {0.0, 1.0}
        rows, columns = (result[0] == 1).any(1).nonzero(), (result[0] == 1).any(0).nonzero()
        top, bottom = int(rows[0]), 23 - int(rows[-1])
        left, right = int(columns[0]), 11 - int(columns[-1])
        assert (result[0] == 1).sum() == (24 - top - bottom) * (12 - left - right)
        assert 0 in (top, bottom)
        assert 0 in (left, right)
        corners.add((top - bottom, left - right))
    assert {place[0] for place in corners} == set(range(-3, 4))
    assert {place[1] for place in corners} == set(range(-3, 4))


def test_the_border_is_black_before_the_normalisation():
    torch.manual_seed(0)
    transform = train_transform(SIZE, HALF, HALF, flip_prob=0.0, padding=3, erase_prob=0.0)
    values = {value for _ in range(20) for value in transform(white()).unique().tolist()}
    assert values == {-1.0, 1.0}


def test_jitter_changes_the_image_differently_each_time():
    torch.manual_seed(0)
    plain = train_transform(SIZE, NONE, ONE, **STILL)(photo())
    jittered = train_transform(SIZE, NONE, ONE, **STILL, color_jitter=0.4)
    results = [jittered(photo()) for _ in range(4)]
    assert all((result - plain).abs().max() > 0.02 for result in results)
    assert not torch.equal(results[0], results[1])


def test_hue_jitter_keeps_greys_and_changes_colours():
    torch.manual_seed(0)
    turned = train_transform(SIZE, NONE, ONE, **STILL, hue_jitter=0.5)
    grey, red = (Image.new("RGB", (31, 50), color) for color in ((90, 90, 90), (200, 40, 40)))
    torch.testing.assert_close(turned(grey), torch.full((3, *SIZE), 90 / 255), atol=0.01, rtol=0)
    results = [turned(red) for _ in range(4)]
    assert min(float(result.amax()) for result in results) > 0.7  # a hue changes, a brightness does not
    assert len({tuple(result[:, 0, 0].tolist()) for result in results}) > 1


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_grey_leaves_one_channel_three_times(probability):
    result = train_transform(SIZE, NONE, ONE, **STILL, grayscale_prob=probability)(photo())
    assert torch.equal(result[0], result[1]) == bool(probability)


def test_scale_is_drawn_evenly_around_one_and_keeps_the_middle():
    torch.manual_seed(0)
    image = Image.new("RGB", (40, 40))
    image.paste((255, 255, 255), (10, 10, 30, 30))
    scaled = train_transform((40, 40), NONE, ONE, **STILL, affine_scale=0.5)
    sides = [float(scaled(image)[0].sum()) ** 0.5 / 20 for _ in range(60)]
    assert 0.6 < min(sides) < 0.8
    assert 1.2 < max(sides) < 1.55


def test_rotation_turns_about_the_middle():
    torch.manual_seed(0)
    image = Image.new("RGB", (41, 41))
    image.paste((255, 255, 255), (0, 20, 41, 21))
    results = [train_transform((41, 41), NONE, ONE, **STILL, affine_degrees=60)(image)[0] for _ in range(6)]
    assert all(result[20, 20] > 0.9 for result in results)
    assert len({round(float(result[:, 35].argmax())) for result in results}) > 2


def test_one_rectangle_of_standard_noise_is_erased_after_the_normalisation():
    torch.manual_seed(0)
    size = (96, 48)
    # Far from any noise: noise that were normalised would have a mean of hundreds, not of zero.
    transform = train_transform(size, [-9.0] * 3, [0.01] * 3, flip_prob=0.0, padding=0, erase_prob=1.0)
    noise, shares = [], []
    for _ in range(40):
        result = transform(white())
        erased = result[0] < 500
        rows, columns = erased.any(1), erased.any(0)
        assert erased.sum() == rows.sum() * columns.sum()
        assert int(rows.nonzero()[-1] - rows.nonzero()[0]) + 1 == rows.sum()
        shares.append(float(erased.float().mean()))
        noise.append(result[:, erased].flatten())
        torch.testing.assert_close(
            result[:, ~erased], torch.full_like(result[:, ~erased], 1000.0), rtol=1e-5, atol=0
        )
    noise = torch.cat(noise)
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert 0.015 < min(shares) < 0.1
    assert 0.2 < max(shares) < 0.35


def test_erasing_comes_about_as_often_as_asked():
    random.seed(0)
    torch.manual_seed(0)
    transform = train_transform(SIZE, NONE, ONE, flip_prob=0.0, padding=0, erase_prob=0.3)
    erased = sum(not bool((transform(white()) == 1).all()) for _ in range(400))
    assert 80 < erased < 160


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"flip_prob": 1.1}, "the probability of a flip must be from 0 to 1, got 1.1"),
        ({"erase_prob": -0.1}, "the probability of erasing must be from 0 to 1, got -0.1"),
        ({"color_jitter": 2}, "colour jitter must be from 0 to 1, got 2"),
        ({"hue_jitter": 0.6}, "hue jitter must be from 0 to 0.5, got 0.6"),
        ({"grayscale_prob": 2}, "the probability of grey must be from 0 to 1, got 2"),
        ({"affine_degrees": -1}, "the rotation in degrees must be from 0 to 180, got -1"),
        ({"affine_scale": 1.5}, "the change of scale must be from 0 to 1, got 1.5"),
        ({"padding": -1}, "padding must be from 0 to 12, got -1"),
        ({"padding": 13}, "padding must be from 0 to 12, got 13"),
    ],
)
def test_parameters_out_of_range_are_refused(changed, expected):
    with pytest.raises(InputError, match=expected):
        train_transform(SIZE, HALF, HALF, **{**STILL, **changed})


@pytest.mark.parametrize("make", [train_transform, evaluation_transform], ids=["train", "test"])
@pytest.mark.parametrize("size", [(0, 12), (24, -1), (24,), (24, 12, 3)])
def test_a_size_that_is_no_height_and_width_is_refused(make, size):
    with pytest.raises(InputError, match="the image size must be a positive height and width"):
        make(size, HALF, HALF)

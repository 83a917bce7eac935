"""Resizing position embeddings by the peers' rule, against F.interpolate and by hand."""

import pytest
import torch
from torch.nn import functional as F

from reid.models.position import PatchLayout, resize_position_embedding
from reid.utils import InputError

SQUARE = PatchLayout()


def embedding(count, prefix=1, dim=5):
    return torch.randn(1, prefix + count, dim, generator=torch.Generator().manual_seed(count))


def by_interpolate(patches, height, width, grid):
    """(N, D) patches through F.interpolate, one channel after the other."""
    columns = [
        F.interpolate(channel.reshape(1, 1, height, width), size=grid, mode="bilinear", align_corners=False)
        for channel in patches.T
    ]
    return torch.stack([column.flatten() for column in columns], dim=1)


@pytest.mark.parametrize("grid", [(16, 8), (7, 14), (28, 28), (1, 1)])
@pytest.mark.parametrize("prefix", [0, 1, 2])
@pytest.mark.parametrize(("height", "width", "ratio"), [(14, 14, 1), (16, 8, 2), (12, 4, 3)])
def test_equals_bilinear_interpolation_of_every_channel(height, width, ratio, prefix, grid):
    old = embedding(height * width, prefix)
    new = resize_position_embedding(old, grid, prefix, PatchLayout(hw_ratio=ratio))
    assert new.shape == (1, prefix + grid[0] * grid[1], 5)
    torch.testing.assert_close(new[0, prefix:], by_interpolate(old[0, prefix:], height, width, grid))


def test_two_by_two_to_two_by_four_by_hand():
    # Half-pixel centres: new columns lie at -0.25, 0.25, 0.75, 1.25 of the old ones.
    old = torch.tensor([9.0, 0.0, 4.0, 8.0, 12.0]).reshape(1, 5, 1)
    new = resize_position_embedding(old, (2, 4), 1, SQUARE)
    assert new.flatten().tolist() == [9, 0, 1, 3, 4, 8, 9, 11, 12]


def test_shrinking_does_not_smooth():
    # Antialiasing would average all 4 columns of each half; bilinear takes the middle two.
    old = torch.tensor([8.0, 0.0, 0.0, 8.0]).repeat(4).reshape(1, 16, 1)
    assert resize_position_embedding(old, (4, 2), 0, SQUARE).flatten().tolist() == [4.0] * 8
    old = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]).repeat(6).reshape(1, 36, 1)
    assert resize_position_embedding(old, (6, 2), 0, SQUARE).flatten().tolist() == [2.0, 16.0] * 6


@pytest.mark.parametrize("prefix", [1, 2])
def test_prefix_tokens_stay_bitwise(prefix):
    old = embedding(196, prefix)
    new = resize_position_embedding(old, (16, 8), prefix, SQUARE)
    assert torch.equal(new[:, :prefix], old[:, :prefix])


@pytest.mark.parametrize(("ratio", "grid"), [(1, (8, 8)), (4, (16, 4))])
def test_the_ratio_decides_which_grid_64_tokens_are(ratio, grid):
    old = embedding(64)
    assert torch.equal(resize_position_embedding(old, grid, 1, PatchLayout(hw_ratio=ratio)), old)


@pytest.mark.parametrize("own", [(16, 8), (8, 16), (32, 4), (20, 10)])
def test_a_grid_that_is_known_decides_whatever_the_ratio(own):
    old = embedding(own[0] * own[1])
    new = resize_position_embedding(old, (7, 5), 1, PatchLayout(own, 3))
    torch.testing.assert_close(new[0, 1:], by_interpolate(old[0, 1:], *own, (7, 5)))


@pytest.mark.parametrize("grid", [(14, 14), (16, 8)])
def test_a_teachers_token_is_left_out(grid):
    old = embedding(196, 2)
    new = resize_position_embedding(old, grid, 1, PatchLayout((14, 14), 1, True))
    plain = torch.cat([old[:, :1], old[:, 2:]], dim=1)
    assert torch.equal(new, resize_position_embedding(plain, grid, 1, SQUARE))


def test_a_missing_first_axis_is_added():
    old = embedding(16)
    new = resize_position_embedding(old[0], (2, 2), 1, SQUARE)
    assert torch.equal(new, resize_position_embedding(old, (2, 2), 1, SQUARE))


@pytest.mark.parametrize(("count", "ratio"), [(195, 1), (128, 1), (196, 2), (0, 1), (2, 3)])
def test_tokens_that_form_no_grid_are_refused(count, ratio):
    with pytest.raises(InputError, match=f"{count} position embeddings form no grid of height {ratio} times"):
        resize_position_embedding(embedding(count), (16, 8), 1, PatchLayout(hw_ratio=ratio))


@pytest.mark.parametrize("shape", [(5,), (1, 4, 4, 5), (2, 17, 5)])
def test_another_shape_is_refused_and_shown(shape):
    with pytest.raises(InputError, match=r"position embeddings must be \(1, tokens, D\), got \("):
        resize_position_embedding(torch.zeros(shape), (4, 4), 1, SQUARE)

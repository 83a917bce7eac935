import pytest
import torch

from reid.models.backbones.patches import PatchEmbed
from reid.utils import InputError


def test_overlapping_patches_lie_row_by_row_a_stride_apart():
    """An image that numbers its pixels, patches of 2 that add theirs, 1 apart down and 2 across."""
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    embed = PatchEmbed((3, 4), 2, 1, stride=(1, 2), in_chans=1)
    torch.nn.init.ones_(embed.proj.weight)
    torch.nn.init.zeros_(embed.proj.bias)
    assert (embed.grid_size, embed.num_patches) == ((2, 2), 4)
    assert embed(image).flatten().tolist() == [0 + 1 + 4 + 5, 2 + 3 + 6 + 7, 4 + 5 + 8 + 9, 6 + 7 + 10 + 11]


@pytest.mark.parametrize(
    ("size", "stride", "grid"),
    [
        ((256, 128), None, (16, 8)),
        ((256, 128), (12, 12), (21, 10)),
        ((384, 128), (12, 12), (31, 10)),
        ((256, 256), (16, 16), (16, 16)),
    ],
)
def test_the_grids_of_the_field(size, stride, grid):
    assert PatchEmbed(size, 16, 4, stride=stride).grid_size == grid


def test_a_stem_of_convolutions_halves_the_image_and_its_patches_cover_as_many_pixels():
    embed = PatchEmbed((64, 32), 16, 4, conv_stem=True).eval()
    assert embed.grid_size == (4, 2)
    assert embed.proj.weight.shape == (4, 64, 8, 8)
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert embed.conv(images).shape == (2, 64, 32, 16)
        assert embed(images).shape == (2, 8, 4)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((8, 32), {}, r"sides of at least a patch \(16 pixels\), got 8x32"),
        ((40, 32), {}, r"multiples of the patch \(16 pixels\), got 40x32"),
        ((64, 32), {"stride": (17, 16)}, "must be at most their side, 16 pixels, got"),
        (
            (64, 32),
            {"conv_stem": True, "stride": (12, 12)},
            r"needs the patch's own stride 16, got \(12, 12\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(size, options, message):
    with pytest.raises(InputError, match=message):
        PatchEmbed(size, 16, 4, **options)

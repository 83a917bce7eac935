"""Images to the patches of a vision transformer: overlapping, or behind a stem of convolutions."""

from typing import Any

from torch import Tensor, nn

from reid.models.backbones.norm import IBN
from reid.utils import InputError

STEM_CHANNELS, STEM_STRIDE = 64, 2


class PatchEmbed(nn.Module):
    """Cut an image into patches, any stride apart, and embed each by one linear map.

        rows = (H - P) // S + 1,  columns = (W - P) // S + 1      patches of P pixels, S apart

    With S below P patches overlap, and what lies on a border is seen whole by a neighbour.

    Source: He et al., "TransReID", ICCV 2021, section 3.1.

    Args:
        img_size: H and W.
        patch_size: P.
        embed_dim: Width D of a token.
        stride: S down and across; None is P.
        conv_stem: Whether a stem of convolutions halves the image first (Luo et al., "Self-Supervised
            Pre-Training for Transformer-Based Person Re-Identification", 2021: IBN-based convolution stem).
            A patch is then of P / 2 cells of 64 channels, and its stride is P.
        in_chans: Channels of the image.
        bias: Whether the linear map has one.
        options: What timm passes on to every embedding; nothing of it matters here.

    Raises:
        InputError: If the image is smaller than a patch, sides are no multiples of it where patches do not
            overlap, pixels would lie between patches, or a stem of convolutions is to have its own stride.
    """

    def __init__(
        self,
        img_size: tuple[int, int],
        patch_size: int,
        embed_dim: int,
        *,
        stride: tuple[int, int] | None = None,
        conv_stem: bool = False,
        in_chans: int = 3,
        bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        stride = stride or (patch_size, patch_size)
        _check(img_size, patch_size, stride, conv_stem)
        rows, columns = ((side - patch_size) // s + 1 for side, s in zip(img_size, stride, strict=True))
        self.img_size, self.grid_size, self.num_patches = tuple(img_size), (rows, columns), rows * columns
        self.patch_size = (patch_size, patch_size)
        self.conv = _conv_stem() if conv_stem else nn.Identity()
        if conv_stem:
            in_chans, patch_size = STEM_CHANNELS, patch_size // STEM_STRIDE
            stride = (patch_size, patch_size)
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, stride, bias=bias)

    def feat_ratio(self) -> int:
        """Pixels to a token, down or across."""
        return self.patch_size[0]

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to tokens (B, rows columns, D), row by row."""
        return self.proj(self.conv(x)).flatten(2).transpose(1, 2)


def _check(size: tuple[int, int], patch: int, stride: tuple[int, int], conv_stem: bool) -> None:
    shown = f"{size[0]}x{size[1]}"
    if min(size) < patch:
        raise InputError(f"an image must have sides of at least a patch ({patch} pixels), got {shown}")
    if stride == (patch, patch) and (size[0] % patch or size[1] % patch):
        raise InputError(f"image sides must be multiples of the patch ({patch} pixels), got {shown}")
    if max(stride) > patch:
        raise InputError(f"the stride of patches must be at most their side, {patch} pixels, got {stride}")
    if conv_stem and stride != (patch, patch):
        raise InputError(
            f"a stem of convolutions (MODEL.STEM_CONV) needs the patch's own stride {patch}, got {stride}"
        )


def _conv_stem() -> nn.Sequential:
    """Three convolutions to 64 channels at half the size; the first two normalise by IBN."""
    channels = STEM_CHANNELS

    def conv3x3() -> nn.Conv2d:
        return nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    return nn.Sequential(
        nn.Conv2d(3, channels, 7, stride=STEM_STRIDE, padding=3, bias=False),
        *(IBN(channels), nn.ReLU(inplace=True)),
        conv3x3(),
        *(IBN(channels), nn.ReLU(inplace=True)),
        conv3x3(),
        *(nn.BatchNorm2d(channels), nn.ReLU(inplace=True)),
    )

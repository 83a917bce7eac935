"""Position embeddings for another patch grid than the one they were trained on."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reid.utils import InputError


class PatchLayout(NamedTuple):
    """How a file's position embeddings lie on its images.

    Args:
        grid: Rows and columns; None where only their ratio is known.
        hw_ratio: Rows over columns, where the grid is not known.
        has_teacher_token: Whether a second token, of DeiT's distillation, stands before the patches; it is
            left out.
    """

    grid: tuple[int, int] | None = None
    hw_ratio: int = 1
    has_teacher_token: bool = False


def resize_position_embedding(
    embedding: Tensor, grid: tuple[int, int], num_prefix_tokens: int, layout: PatchLayout
) -> Tensor:
    """Resize (1, prefix + h w, D) to (1, prefix + grid[0] grid[1], D); prefix tokens stay as they are.

        h = floor(sqrt(N hw_ratio)),  w = h / hw_ratio      for N patch tokens, where the layout has no grid

    Bilinear without antialiasing and with corners not aligned, the rule of TransReID, TransReID-SSL,
    fast-reid and CLIP-ReID. timm's own rule (bicubic, antialiased) gives other features.

    Args:
        embedding: (1, num_prefix_tokens + N, D), or the same without the first axis.
        grid: Rows and columns of patches wanted.
        num_prefix_tokens: Tokens in front that have no place in the grid.
        layout: Of the embedding.

    Raises:
        InputError: If the shape is another, or N tokens do not form that grid or one of that ratio.
    """
    if embedding.ndim == 2:
        embedding = embedding[None]
    if embedding.ndim != 3 or len(embedding) != 1:
        raise InputError(f"position embeddings must be (1, tokens, D), got {tuple(embedding.shape)}")
    if layout.has_teacher_token:
        embedding = torch.cat([embedding[:, :1], embedding[:, 2:]], dim=1)
    prefix, patches = embedding[:, :num_prefix_tokens], embedding[:, num_prefix_tokens:]
    count, dim = patches.shape[1:]
    height = int((count * layout.hw_ratio) ** 0.5)
    height, width = layout.grid or (height, height // layout.hw_ratio)
    if layout.grid and height * width != count:
        raise InputError(f"{count} position embeddings do not fill a grid of {height} x {width} patches")
    if height * width != count or not count:
        raise InputError(
            f"{count} position embeddings form no grid of height {layout.hw_ratio} times the width;"
            " set MODEL.PRETRAIN_HW_RATIO to the pre-training's (1 for ImageNet, 2 for 256x128)"
        )
    if (height, width) == grid:
        return embedding
    patches = patches.reshape(1, height, width, dim).permute(0, 3, 1, 2)  # (1, D, h, w)
    patches = F.interpolate(patches, size=grid, mode="bilinear", align_corners=False)
    patches = patches.permute(0, 2, 3, 1).reshape(1, grid[0] * grid[1], dim)
    return torch.cat([prefix, patches], dim=1)

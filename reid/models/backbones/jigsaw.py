"""TransReID's jigsaw patch module: a feature of the whole image, and one of each group of patches."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from reid.models.backbones.branch import Branch
from reid.models.backbones.vit import ReIDVisionTransformer
from reid.models.spec import JigsawSpec
from reid.utils import InputError


class JigsawVisionTransformer(ReIDVisionTransformer):
    """A vision transformer whose last block and norm exist twice.

        x = blocks but the last                         (B, 1 + N, D)
        global = LN_g(block_g(x))_class
        y = shuffle(x),  n = N // parts
        local_k = LN_l(block_l([x_class; y_{kn} .. y_{kn + n - 1}]))_class        k = 0 .. parts - 1

    The retrieval feature joins global and local_k / parts. Half of the loss is that of the global feature,
    half is the mean over the local ones.

    Source: He et al., "TransReID", ICCV 2021, section 3.2; the order of patches follows the authors' code.

    Args:
        jigsaw: How patches are grouped.
        options: Of ``ReIDVisionTransformer``, whose last block and norm both branches begin as copies of.

    Raises:
        InputError: If there are fewer patches than parts, or no token is left to shift.
    """

    def __init__(self, jigsaw: JigsawSpec, **options: Any) -> None:
        super().__init__(**options)
        patches, parts = self.patch_embed.num_patches, jigsaw.num_parts
        if patches < max(parts, jigsaw.shift, jigsaw.num_groups + 1):
            raise InputError(
                f"jigsaw branches (MODEL.JPM) need at least as many patches as parts ({parts}) and as the"
                f" shift ({jigsaw.shift}), and more than groups ({jigsaw.num_groups}), got {patches}; use"
                " larger images"
            )
        self.jigsaw = jigsaw
        self.global_branch = nn.Sequential(self.blocks[-1], self.norm)
        self.local_branch = copy.deepcopy(self.global_branch)
        self.blocks = self.blocks[:-1]
        self.norm = nn.Identity()
        whole = Branch(self.embed_dim, 1.0, 0.5, 0.5)
        part = Branch(self.embed_dim, 1 / parts, 0.5 / parts, 0.5 / parts)
        self.branches = (whole, *[part] * parts)

    def forward(  # type: ignore[override]
        self, x: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to the global feature and ``num_parts`` local ones, each (B, D)."""
        x = self.blocks(self.embed_tokens(x, camids, viewids))  # (B, 1 + N, D)
        whole = self.global_branch(x)[:, 0]
        count, parts = self.patch_embed.num_patches, self.jigsaw.num_parts
        patches = shuffle_patches(x, count, self.jigsaw) if self.jigsaw.rearrange else x[:, 1:]
        length = count // parts
        groups = patches[:, : parts * length].unflatten(1, (parts, length))  # (B, parts, n, D)
        token = x[:, None, :1].expand(-1, parts, -1, -1)  # (B, parts, 1, D)
        # All parts in one call: (B parts, 1 + n, D).
        local = self.local_branch(torch.cat([token, groups], dim=2).flatten(0, 1))[:, 0]
        local = local.unflatten(0, (-1, parts))  # (B, parts, D)
        return (whole, *(local[:, k] for k in range(parts)))


def shuffle_patches(tokens: Tensor, count: int, jigsaw: JigsawSpec) -> Tensor:
    """Shift the patches and deal them out, so that each group sees the whole image.

        y = [x_shift .. x_N, x_1 .. x_{shift-1}]
        z = y dealt out in order to ``num_groups`` halves, which are then interleaved

    Where y does not divide, its last patch but one is repeated at the end, as in the authors' code.

    Args:
        tokens: (B, 1 + N, D), the class token first.
        count: N, known before the tokens are, so that the network can be traced.
        jigsaw: Shift and number of groups.

    Returns:
        (B, N', D), N' at least N.
    """
    shifted = torch.cat([tokens[:, jigsaw.shift :], tokens[:, 1 : jigsaw.shift]], dim=1)  # (B, N, D)
    # Of the code's rule one repetition is enough for two groups; more groups repeat it as often as needed.
    for _ in range(-count % jigsaw.num_groups):
        shifted = torch.cat([shifted, shifted[:, -2:-1]], dim=1)
    return shifted.unflatten(1, (jigsaw.num_groups, -1)).transpose(1, 2).flatten(1, 2)

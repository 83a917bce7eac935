"""Vision transformers of the field: timm's, with side information and pooling of their own."""

from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from reid.models.backbones.patches import PatchEmbed
from reid.models.backbones.pooling import generalised_mean
from reid.models.backbones.side_information import SideInformation
from reid.models.spec import ModelSpec, SideSpec

PATCH = 16
# Width, depth, heads and what else differs from timm's defaults, by backbone name.
VISION_TRANSFORMERS: dict[str, dict[str, Any]] = {
    # DeiT-S and DeiT-B are the same networks.
    "vit_base": {"embed_dim": 768, "depth": 12, "num_heads": 12},
    "vit_small": {"embed_dim": 384, "depth": 12, "num_heads": 6},
    # What TransReID and fast-reid call small: timm's ViT-S of 2020. It scaled attention by 768^-0.5 instead
    # of 96^-0.5; an imported file has the ratio in its query weights.
    "vit_small_legacy": {
        **{"embed_dim": 768, "depth": 8, "num_heads": 8},
        **{"mlp_ratio": 3.0, "qkv_bias": False},
    },
    # Patches of 8 for small images; trains on a CPU in minutes.
    "vit_micro": {"embed_dim": 128, "depth": 4, "num_heads": 4, "patch_size": 8},
}
GEM_EXPONENT = 3.0


class ReIDVisionTransformer(VisionTransformer):
    """timm's vision transformer with side information; its feature is the class token after the last norm.

        x = [class; patches] + positions + s(camera, view)
        y = LN(blocks(x))
        feature = y_class        or, with generalised-mean pooling, y_class + GeM(y_patches)

    Source: He et al., "TransReID", ICCV 2021 (side information); Luo et al., "Self-Supervised Pre-Training
    for Transformer-Based Person Re-Identification", 2021 (pooling).

    Args:
        side: Cameras and views to embed; None leaves them out.
        gem: Whether patches are pooled and added.
        options: Of timm's ``VisionTransformer``.
    """

    side_on_class_token_only = False

    def __init__(self, *, side: SideSpec | None = None, gem: bool = False, **options: Any) -> None:
        super().__init__(num_classes=0, **options)
        self.gem = gem
        self.side = SideInformation(side, self.embed_dim) if side else None

    def forward(  # type: ignore[override]
        self, x: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> Tensor:
        """Map images (B, 3, H, W) to features (B, D).

        Args:
            x: The images.
            camids: (B,) cameras, -1 unknown; read where there is side information.
            viewids: (B,) views, likewise.
        """
        tokens = self.norm(self.blocks(self.embed_tokens(x, camids, viewids)))
        if not self.gem:
            return tokens[:, 0]
        return tokens[:, 0] + generalised_mean(tokens[:, 1:], GEM_EXPONENT, 1)

    def embed_tokens(self, images: Tensor, camids: Tensor | None, viewids: Tensor | None) -> Tensor:
        """Map images (B, 3, H, W) to the tokens (B, 1 + N, D) that enter the first block."""
        # Both are there by timm's defaults.
        assert self.cls_token is not None
        assert self.pos_embed is not None
        patches = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)  # (B, 1 + N, D)
        x = x + self.pos_embed
        if self.side is not None:
            side = self.side(images, camids, viewids)[:, None]  # (B, 1, D)
            count = 1 if self.side_on_class_token_only else x.shape[1]
            x = torch.cat([x[:, :count] + side, x[:, count:]], dim=1)
        return self.norm_pre(self.pos_drop(x))


def vit_options(spec: ModelSpec) -> dict[str, Any]:
    """The arguments of a vision transformer by name, at the size and stride of ``spec``."""
    options = {"patch_size": PATCH} | VISION_TRANSFORMERS[spec.name]
    return options | {
        "img_size": spec.image_size,
        "drop_path_rate": spec.drop_path,
        "embed_layer": partial(PatchEmbed, stride=spec.patch_stride, conv_stem=spec.conv_stem),
        "norm_layer": partial(nn.LayerNorm, eps=1e-6),
        "side": spec.side,
    }

"""CLIP's image encoders as CLIP-ReID uses them: three features an image, two of them retrieved.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021; Li, Sun
and Li, "CLIP-ReID", AAAI 2023.
"""

from functools import partial
from typing import Any

import torch
from timm.layers import QuickGELU
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from reid.models.backbones.branch import Branch
from reid.models.backbones.patches import PatchEmbed
from reid.models.backbones.vit import PATCH, ReIDVisionTransformer
from reid.models.spec import ModelSpec
from reid.utils import InputError

# Width of the tokens or of the last map, and of the space that images share with texts.
CLIP_VITS: dict[str, dict[str, Any]] = {
    "clip_vit_base": {"embed_dim": 768, "depth": 12, "num_heads": 12, "projected_dim": 512},
    # Patches of 8 for small images: a test's or a demo's, of no released weights.
    "clip_vit_micro": {
        **{"embed_dim": 128, "depth": 4, "num_heads": 4},
        **{"projected_dim": 64, "patch_size": 8},
    },
}
CLIP_RESNETS: dict[str, dict[str, Any]] = {
    "clip_resnet50": {"layers": (3, 4, 6, 3), "width": 64, "projected_dim": 1024},
    "clip_resnet14": {"layers": (1, 1, 1, 1), "width": 16, "projected_dim": 64},
}
# Pixels to a cell of the last map, whose stride CLIP-ReID sets to 1.
RESNET_RATIO = 16
HEAD_DIM = 64
# The feature that lies in the space of texts, among those that these backbones return.
PROJECTED = 1


class ClipVisionTransformer(ReIDVisionTransformer):
    """CLIP's vision transformer: a norm before the blocks, QuickGELU, and a projection to the space of texts.

        x = LN_pre([class + s(camera, view); patches] + positions)
        z = all blocks but the last (x),  y = LN(last block (z))
        features: y_class, P y_class; z_class for the triplet loss alone

    Args:
        projected_dim: Rows of P.
        options: Of ``ReIDVisionTransformer``.
    """

    side_on_class_token_only = True

    def __init__(self, projected_dim: int, **options: Any) -> None:
        super().__init__(pre_norm=True, act_layer=QuickGELU, **options)
        self.projection = nn.Linear(self.embed_dim, projected_dim, bias=False)
        nn.init.normal_(self.projection.weight, std=self.embed_dim**-0.5)
        self.branches = _branches(self.embed_dim, projected_dim, self.embed_dim)

    def forward(  # type: ignore[override]
        self, x: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to features (B, D), (B, projected_dim) and (B, D)."""
        x = self.embed_tokens(x, camids, viewids)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        feat = self.norm(last(x))[:, 0]
        return feat, self.projection(feat), x[:, 0]


class AttentionPool(nn.Module):
    """Pool a map by one step of attention, whose query is the average.

        t = [mean x; x_1 .. x_N] + positions
        y = W_o softmax(q_0 k^T / sqrt(64)) v + b_o        q, k, v of t, in heads of 64 channels

    Args:
        channels: Of the map.
        map_size: Its rows and columns; N is their product.
        dim: Width of y.
    """

    def __init__(self, channels: int, map_size: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.map_size, self.num_heads = map_size, channels // HEAD_DIM
        self.pos_embed = nn.Parameter(torch.randn(map_size[0] * map_size[1] + 1, channels) * channels**-0.5)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, dim)."""
        x = x.flatten(2).transpose(1, 2)  # (B, N, C)
        x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + self.pos_embed  # (B, 1 + N, C)
        heads = self.qkv(x).unflatten(2, (3, self.num_heads, HEAD_DIM)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(heads[0][:, :, :1], heads[1], heads[2])  # (B, heads, 1, 64)
        return self.proj(y.flatten(1))


class ClipResNet(ResNet):
    """CLIP's ResNet: three convolutions in the stem, averages instead of strides, attention pooling.

        z = stages 1 to 3,  y = stage 4 (z)
        features: mean y, attention pooling of y; mean z for the triplet loss alone

    Args:
        layers: Blocks of each stage.
        width: Channels of the first stage's bottleneck.
        projected_dim: Width of the pooled feature.
        map_size: Rows and columns of the last map.
    """

    def __init__(
        self, layers: tuple[int, ...], width: int, projected_dim: int, map_size: tuple[int, int]
    ) -> None:
        channels = tuple(width * 2**stage for stage in range(4))
        options: dict[str, Any] = {
            "stem_type": "deep",
            "stem_width": width // 2,
            "avg_down": True,
            "aa_layer": nn.AvgPool2d,
        }
        block: Any = Bottleneck  # timm's annotation asks for an instance
        super().__init__(block, layers, num_classes=0, channels=channels, **options)
        self.attnpool = AttentionPool(self.num_features, map_size, projected_dim)
        self.branches = _branches(self.num_features, projected_dim, self.num_features // 2)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Map images (B, 3, H, W) to features (B, C), (B, projected_dim) and (B, C / 2)."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2):
            x = stage(x)  # type: ignore[operator]  # timm adds its stages by name
        early = self.layer3(x)  # type: ignore[operator]  # (B, C / 2, H / 16, W / 16)
        late = self.layer4(early)  # type: ignore[operator]  # (B, C, H / 16, W / 16)
        return late.mean((2, 3)), self.attnpool(late), early.mean((2, 3))


def clip_vit(spec: ModelSpec) -> ClipVisionTransformer:
    """The vision transformer of ``spec``."""
    options = {"patch_size": PATCH} | CLIP_VITS[spec.name]
    return ClipVisionTransformer(
        **options,
        img_size=spec.image_size,
        drop_path_rate=spec.drop_path,
        embed_layer=partial(PatchEmbed, stride=spec.patch_stride),
        norm_layer=partial(nn.LayerNorm, eps=1e-5),
        side=spec.side,
    )


def clip_resnet(spec: ModelSpec) -> ClipResNet:
    """The ResNet of ``spec``; the stride of its last stage is set by the caller.

    Raises:
        InputError: If the image does not divide into cells.
    """
    ratio = RESNET_RATIO * spec.last_stride
    if any(side % ratio for side in spec.image_size):
        raise InputError(
            f"{spec.name} needs image sides that are multiples of {ratio}, got {spec.image_size}"
        )
    rows, columns = (side // ratio for side in spec.image_size)
    return ClipResNet(**CLIP_RESNETS[spec.name], map_size=(rows, columns))


def _branches(dim: int, projected_dim: int, early_dim: int) -> tuple[Branch, ...]:
    return (Branch(dim), Branch(projected_dim), Branch(early_dim, 0.0, 0.0, 1.0))

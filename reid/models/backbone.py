"""Backbones by name, at a given image size, returning one feature an image; the only door to timm."""

from typing import Any

import timm
from torch import nn

from reid.models.osnet import OSNETS, OSNet
from reid.utils import InputError, unknown_choice

# Our name -> timm's name and what differs from timm's defaults.
VISION_TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit_base": ("vit_base_patch16_224", {}),
    "vit_small": ("vit_small_patch16_224", {}),
    # Patches of 8 for small images; trains on a CPU in minutes.
    "vit_micro": ("vit_tiny_patch16_224", {"patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4}),
}
RESNETS = {
    "resnet50": "resnet50",
    # With the stem's pooling of fast-reid, see _pool_without_padding.
    "resnet50_fastreid": "resnet50",
    "resnet14": "resnet14t",
    "resnet10": "resnet10t",
}

BACKBONES = (*VISION_TRANSFORMERS, *RESNETS, *OSNETS)


def create_backbone(
    name: str, image_size: tuple[int, int], drop_path: float = 0.0, last_stride: int = 1
) -> nn.Module:
    """A backbone with random weights that maps images (B, 3, H, W) to features (B, D).

    Vision transformers return the class token after the last norm. ResNets return the average over the last
    feature map; with a last stride of 1, 256x128 gives 16x8 cells (Luo et al., CVPRW 2019). OSNets are
    described in ``reid.models.osnet``.

    Args:
        name: One of ``BACKBONES``.
        image_size: Height and width; fixes a vision transformer's position embeddings.
        drop_path: Stochastic depth of vision transformers, in [0, 1].
        last_stride: Stride of a ResNet's last stage, 1 or 2.

    Returns:
        A module with ``num_features`` (D).

    Raises:
        InputError: If the name is unknown, or the size is no multiple of the patch.
    """
    if name in VISION_TRANSFORMERS:
        timm_name, options = VISION_TRANSFORMERS[name]
        patch = options.get("patch_size", 16)
        if image_size[0] % patch or image_size[1] % patch:
            raise InputError(
                f"{name} needs image sides that are multiples of {patch}, got {image_size[0]}x{image_size[1]}"
            )
        options = options | {"img_size": image_size, "drop_path_rate": drop_path}
        return timm.create_model(timm_name, num_classes=0, **options)
    if name in RESNETS:
        resnet = timm.create_model(RESNETS[name], num_classes=0)
        if last_stride == 1:
            _keep_last_resolution(resnet)
        if name == "resnet50_fastreid":
            _pool_without_padding(resnet)
        return resnet
    if name in OSNETS:
        return OSNet(name)
    raise InputError(unknown_choice("backbone (MODEL.NAME)", name, BACKBONES))


def _keep_last_resolution(resnet: nn.Module) -> None:
    """Set the last stage's stride to 1, without timm's dilation: pre-trained weights keep their meaning."""
    for module in resnet.get_submodule("layer4").modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d):
            module.kernel_size = module.stride = 1


def _pool_without_padding(resnet: nn.Module) -> None:
    """Give the stem fast-reid's pooling: windows lie one pixel further right and down than torchvision's.

    A map has the same size either way. fast-reid changed it in August 2020 (its pull request 214).
    """
    resnet.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)


def patch_grid(backbone: nn.Module) -> tuple[int, int] | None:
    """Rows and columns of a vision transformer's patches; None for other networks."""
    embed = getattr(backbone, "patch_embed", None)
    return None if embed is None else (int(embed.grid_size[0]), int(embed.grid_size[1]))

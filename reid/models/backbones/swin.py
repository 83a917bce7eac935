"""Swin transformers of timm, and their ImageNet weights at another image size."""

from typing import Any

import timm
from timm.models import swin_transformer, swin_transformer_v2
from torch import Tensor, nn

from reid.models.spec import ModelSpec
from reid.utils import InputError

# Our name -> timm's.
SWINS = {
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
    "swinv2_tiny": "swinv2_tiny_window8_256",
    "swinv2_small": "swinv2_small_window8_256",
    "swinv2_base": "swinv2_base_window8_256",
}
# A patch of 4 pixels, halved three times.
RATIO = 32


def create_swin(spec: ModelSpec) -> nn.Module:
    """The Swin transformer of ``spec``: images (B, 3, H, W) to the average (B, D) over the last map.

    Source: Liu et al., "Swin Transformer", ICCV 2021, and "Swin Transformer V2", CVPR 2022.

    Raises:
        InputError: If a side of the image does not divide into cells of 32 pixels.
    """
    if any(side % RATIO for side in spec.image_size):
        raise InputError(f"image sides must be multiples of {RATIO} pixels, got {spec.image_size}")
    options: dict[str, Any] = {"img_size": spec.image_size, "drop_path_rate": spec.drop_path}
    swin = timm.create_model(SWINS[spec.name], num_classes=0, **options)
    for module in swin.modules():
        if isinstance(module, swin_transformer.WindowAttention):
            # timm leaves torch's fused attention out where it adds a bias; it takes one. V2's is of cosines.
            module.fused_attn = True  # type: ignore[misc]
    return swin


def fit_swin(backbone: nn.Module, state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Bring weights of a Swin transformer to the windows of ``backbone`` by timm's rule; others stay.

    Args:
        backbone: The network to be loaded.
        state: Tensors by key.
        prefix: What the backbone's keys begin with.
    """
    if isinstance(backbone, swin_transformer.SwinTransformer):
        convert = swin_transformer.checkpoint_filter_fn
    elif isinstance(backbone, swin_transformer_v2.SwinTransformerV2):
        convert = swin_transformer_v2.checkpoint_filter_fn
    else:
        return state
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    others = {key: value for key, value in state.items() if not key.startswith(prefix)}
    return others | {prefix + key: value for key, value in convert(own, backbone).items()}

"""Backbones by name, at a given image size."""

from torch import nn

from reid.models.backbones.clip import CLIP_RESNETS, CLIP_VITS, ClipResNet, clip_resnet, clip_vit
from reid.models.backbones.jigsaw import JigsawVisionTransformer
from reid.models.backbones.osnet import OSNETS, OSNet
from reid.models.backbones.resnet import RESNETS, create_resnet, keep_last_resolution
from reid.models.backbones.swin import SWINS, create_swin
from reid.models.backbones.vit import VISION_TRANSFORMERS, ReIDVisionTransformer, vit_options
from reid.models.spec import ModelSpec
from reid.utils import InputError, unknown_choice

BACKBONES = (*VISION_TRANSFORMERS, *CLIP_VITS, *SWINS, *RESNETS, *CLIP_RESNETS, *OSNETS)
# Below it the last maps of a convolutional network are nothing, or a single cell without a deviation.
LEAST_SIDE = 32
# Which backbones an option of the specification means something to.
TAKES = {
    "patch_stride": (*VISION_TRANSFORMERS, *CLIP_VITS),
    "side": (*VISION_TRANSFORMERS, *CLIP_VITS),
    "conv_stem": tuple(VISION_TRANSFORMERS),
    "jigsaw": tuple(VISION_TRANSFORMERS),
    "gem": (*VISION_TRANSFORMERS, *RESNETS),
}
KEYS = {
    "patch_stride": "another stride of patches (MODEL.STRIDE_SIZE)",
    "side": "side information (MODEL.SIE_CAMERA, MODEL.SIE_VIEW)",
    "conv_stem": "a stem of convolutions (MODEL.STEM_CONV)",
    "jigsaw": "jigsaw branches (MODEL.JPM)",
    "gem": "generalised-mean pooling (MODEL.GEM_POOLING)",
}


def create_backbone(spec: ModelSpec) -> nn.Module:
    """A backbone with random weights that maps images (B, 3, H, W) to one feature (B, D), or several.

    Vision transformers return the class token after the last norm, Swin transformers and ResNets the average
    over the last map. What else ``spec`` asks for, and the families with several features, are described in
    their own modules. Where there is side information the backbone also takes cameras and views.

    Returns:
        A module with ``num_features`` (D), or with ``branches`` where it returns a tuple.

    Raises:
        InputError: If the name is unknown, the image size does not fit, or the backbone has no place for
            something that ``spec`` asks for.
    """
    name = spec.name
    if name not in BACKBONES:
        raise InputError(unknown_choice("backbone (MODEL.NAME)", name, BACKBONES))
    for option, names in TAKES.items():
        if getattr(spec, option) and name not in names:
            raise InputError(f"{name} has no place for {KEYS[option]}; leave it out")
    if spec.gem and spec.jigsaw:
        raise InputError("jigsaw branches (MODEL.JPM) pool no patches; set MODEL.GEM_POOLING False")
    try:
        return _create(spec)
    except InputError as error:
        raise InputError(f"{name} cannot be built: {error}") from error


def _create(spec: ModelSpec) -> nn.Module:
    if spec.name in VISION_TRANSFORMERS:
        if spec.jigsaw:
            return JigsawVisionTransformer(spec.jigsaw, **vit_options(spec))
        return ReIDVisionTransformer(gem=spec.gem, **vit_options(spec))
    if spec.name in CLIP_VITS:
        return clip_vit(spec)
    if spec.name in SWINS:
        return create_swin(spec)
    if min(spec.image_size) < LEAST_SIDE:
        raise InputError(f"an image must have sides of at least {LEAST_SIDE} pixels, got {spec.image_size}")
    if spec.name in RESNETS:
        return create_resnet(spec)
    if spec.name in CLIP_RESNETS:
        resnet = clip_resnet(spec)
        if spec.last_stride == 1:
            keep_last_resolution(resnet)
        return resnet
    return OSNet(spec.name)


def takes_side_information(backbone: nn.Module) -> bool:
    """Whether the backbone reads cameras and views."""
    return getattr(backbone, "side", None) is not None


def patch_grid(backbone: nn.Module) -> tuple[int, int] | None:
    """Rows and columns of a transformer's patches, or of the cells that attention pools; None for others."""
    if isinstance(backbone, ClipResNet):
        return backbone.attnpool.map_size
    embed = getattr(backbone, "patch_embed", None)
    return None if embed is None else (int(embed.grid_size[0]), int(embed.grid_size[1]))

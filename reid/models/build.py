"""From a configuration to a model."""

from pathlib import Path

import torch
from yacs.config import CfgNode

from reid.models.formats import load_pretrained
from reid.models.header import DenoiseSpec
from reid.models.preprocessing import Preprocessing
from reid.models.reid_model import ReIDModel
from reid.models.spec import JigsawSpec, ModelSpec, SideSpec


def build_model(cfg: CfgNode, num_classes: int, side: SideSpec | None = None) -> ReIDModel:
    """The model of ``cfg`` for ``num_classes`` training identities, started from its pre-trained weights.

    Args:
        cfg: The configuration.
        num_classes: Training identities.
        side: The cameras and views of the training images, where ``cfg`` embeds them.

    Raises:
        InputError: If the backbone is unknown, does not fit the image sizes, or the weights do not fit.
    """
    model = ReIDModel(build_model_spec(cfg, num_classes, side), build_preprocessing(cfg))
    if cfg.MODEL.CHANNELS_LAST:
        # Images need no change: a convolution follows the layout of its weight.
        model.to(memory_format=torch.channels_last)
    if cfg.MODEL.PRETRAIN_PATH:
        load_pretrained(model, Path(cfg.MODEL.PRETRAIN_PATH), cfg.MODEL.PRETRAIN_HW_RATIO)
    return model


def build_model_spec(cfg: CfgNode, num_classes: int, side: SideSpec | None = None) -> ModelSpec:
    """What ``cfg`` builds for ``num_classes`` training identities and the given cameras and views."""
    down, across = cfg.MODEL.STRIDE_SIZE
    return ModelSpec(
        name=cfg.MODEL.NAME,
        image_size=tuple(cfg.INPUT.SIZE_TRAIN),
        num_classes=num_classes,
        drop_path=cfg.MODEL.DROP_PATH,
        last_stride=cfg.MODEL.LAST_STRIDE,
        neck_feat=cfg.TEST.NECK_FEAT,
        patch_stride=(down, across) if down and across else None,
        conv_stem=cfg.MODEL.STEM_CONV,
        gem=cfg.MODEL.GEM_POOLING,
        feat_dim=cfg.MODEL.FEAT_DIM if cfg.MODEL.REDUCE_FEAT_DIM else 0,
        side=side,
        jigsaw=build_jigsaw_spec(cfg) if cfg.MODEL.JPM else None,
    )


def build_jigsaw_spec(cfg: CfgNode) -> JigsawSpec:
    """How ``cfg`` groups patches for jigsaw branches."""
    return JigsawSpec(
        num_parts=cfg.MODEL.DEVIDE_LENGTH,
        shift=cfg.MODEL.SHIFT_NUM,
        num_groups=cfg.MODEL.SHUFFLE_GROUP,
        rearrange=cfg.MODEL.RE_ARRANGE,
    )


def build_denoise_spec(cfg: CfgNode) -> DenoiseSpec:
    """How ``cfg`` attaches denoisers."""
    return DenoiseSpec(
        targets=tuple(cfg.DENOISE.TARGETS),
        steps=cfg.DENOISE.STEPS,
        timesteps=cfg.DENOISE.TIMESTEPS,
        beta_start=cfg.DENOISE.BETA_START,
        beta_end=cfg.DENOISE.BETA_END,
        rescale=cfg.DENOISE.RESCALE,
        t_rule=cfg.DENOISE.T_RULE,
        strength=float(cfg.DENOISE.STRENGTH),
    )


def build_preprocessing(cfg: CfgNode) -> Preprocessing:
    """How ``cfg`` prepares test images."""
    return Preprocessing(
        size=tuple(cfg.INPUT.SIZE_TEST), mean=tuple(cfg.INPUT.PIXEL_MEAN), std=tuple(cfg.INPUT.PIXEL_STD)
    )

"""From a configuration to a model."""

from pathlib import Path

import torch
from yacs.config import CfgNode

from reid.models.header import DenoiseSpec
from reid.models.preprocessing import Preprocessing
from reid.models.reid_model import ModelSpec, ReIDModel
from reid.models.weights import load_pretrained


def build_model(cfg: CfgNode, num_classes: int) -> ReIDModel:
    """The model of ``cfg`` for ``num_classes`` training identities, started from its pre-trained weights.

    Raises:
        InputError: If the backbone is unknown, does not fit the image sizes, or the weights do not fit.
    """
    model = ReIDModel(build_model_spec(cfg, num_classes), build_preprocessing(cfg))
    if cfg.MODEL.CHANNELS_LAST:
        # Images need no change: a convolution follows the layout of its weight.
        model.to(memory_format=torch.channels_last)
    if cfg.MODEL.PRETRAIN_PATH:
        load_pretrained(model, Path(cfg.MODEL.PRETRAIN_PATH), cfg.MODEL.PRETRAIN_HW_RATIO)
    return model


def build_model_spec(cfg: CfgNode, num_classes: int) -> ModelSpec:
    """What ``cfg`` builds for ``num_classes`` training identities."""
    return ModelSpec(
        name=cfg.MODEL.NAME,
        image_size=tuple(cfg.INPUT.SIZE_TRAIN),
        num_classes=num_classes,
        drop_path=cfg.MODEL.DROP_PATH,
        last_stride=cfg.MODEL.LAST_STRIDE,
        neck_feat=cfg.TEST.NECK_FEAT,
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
    )


def build_preprocessing(cfg: CfgNode) -> Preprocessing:
    """How ``cfg`` prepares test images."""
    return Preprocessing(
        size=tuple(cfg.INPUT.SIZE_TEST), mean=tuple(cfg.INPUT.PIXEL_MEAN), std=tuple(cfg.INPUT.PIXEL_STD)
    )

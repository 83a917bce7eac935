"""Backbones from timm with a BNNeck and a classifier, their weights and their checkpoints."""

from reid.models.backbone import BACKBONES, create_backbone
from reid.models.checkpoint import (
    DenoiseSpec,
    Header,
    Preprocessing,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from reid.models.neck import BNNeck
from reid.models.output import ReIDOutput
from reid.models.reid_model import ModelSpec, ReIDModel
from reid.models.weights import LoadReport, load_pretrained

__all__ = [
    "BACKBONES",
    "BNNeck",
    "DenoiseSpec",
    "Header",
    "LoadReport",
    "ModelSpec",
    "Preprocessing",
    "ReIDModel",
    "ReIDOutput",
    "create_backbone",
    "load_checkpoint",
    "load_model",
    "load_pretrained",
    "save_checkpoint",
]

"""Backbones from timm with a BNNeck and a classifier, their weights and their checkpoints."""

from reid.models.backbone import BACKBONES, create_backbone
from reid.models.checkpoint import load_checkpoint, load_model, save_checkpoint
from reid.models.header import DenoiseSpec, Header
from reid.models.neck import BNNeck
from reid.models.output import ReIDOutput
from reid.models.preprocessing import Preprocessing
from reid.models.reid_model import ModelSpec, ReIDModel
from reid.models.training import Training, describe_training
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
    "Training",
    "create_backbone",
    "describe_training",
    "load_checkpoint",
    "load_model",
    "load_pretrained",
    "save_checkpoint",
]

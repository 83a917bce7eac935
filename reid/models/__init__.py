"""Backbones from timm with a BNNeck and a classifier, their weights and their checkpoints."""

from reid.models.backbones import BACKBONES, create_backbone
from reid.models.checkpoint import load_any, load_checkpoint, load_model, save_checkpoint
from reid.models.formats import ImportReport, load_pretrained
from reid.models.header import DenoiseSpec, Header
from reid.models.neck import BNNeck
from reid.models.output import BranchOutput, ReIDOutput
from reid.models.preprocessing import Preprocessing
from reid.models.reid_model import ReIDModel
from reid.models.spec import JigsawSpec, ModelSpec, SideSpec, SiteSpec
from reid.models.training import Training, describe_training

__all__ = [
    "BACKBONES",
    "BNNeck",
    "BranchOutput",
    "DenoiseSpec",
    "Header",
    "ImportReport",
    "JigsawSpec",
    "ModelSpec",
    "Preprocessing",
    "ReIDModel",
    "ReIDOutput",
    "SideSpec",
    "SiteSpec",
    "Training",
    "create_backbone",
    "describe_training",
    "load_any",
    "load_checkpoint",
    "load_model",
    "load_pretrained",
    "save_checkpoint",
]

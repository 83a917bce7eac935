"""Backbones by name; the only door to timm. What becomes of their features is not their business."""

from reid.models.backbones.blocks import blocks_of
from reid.models.backbones.branch import Branch, branches_of
from reid.models.backbones.clip import PROJECTED
from reid.models.backbones.create import (
    BACKBONES,
    LEAST_SIDE,
    create_backbone,
    patch_grid,
    takes_side_information,
)
from reid.models.backbones.swin import fit_swin

__all__ = [
    "BACKBONES",
    "LEAST_SIDE",
    "PROJECTED",
    "Branch",
    "blocks_of",
    "branches_of",
    "create_backbone",
    "fit_swin",
    "patch_grid",
    "takes_side_information",
]

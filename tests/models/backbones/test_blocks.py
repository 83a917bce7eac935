"""Which modules are blocks, in every family; networks are built without memory for their weights."""

import pytest
import torch
from torch import nn

from reid.models import BACKBONES, JigsawSpec, ModelSpec, create_backbone
from reid.models.backbones import blocks_of
from reid.utils import InputError

# By the papers: layers of the transformers, stages of the others.
COUNTS = {
    "vit_small": 12,
    "vit_small_legacy": 8,
    "vit_micro": 4,
    "clip_vit_base": 12,
    "swin_tiny": 2 + 2 + 6 + 2,
    "swinv2_small": 2 + 2 + 18 + 2,
    "resnet10": 4,
    "resnet34_transreid": 3 + 4 + 6 + 3,
    "resnet50_ibn": 3 + 4 + 6 + 3,
    "resnet50_ibn_nl_fastreid": 3 + 4 + 6 + 3 + 2 + 3,
    "clip_resnet50": 3 + 4 + 6 + 3,
    "osnet_x0_25": 6,
    "osnet_ibn_x1_0": 6,
    "osnet_ain_x0_25": 6,
}


def create(name, **options):
    with torch.device("meta"):
        return create_backbone(ModelSpec(name, (64, 32), 0, **options))


def names_of(backbone):
    names = {module: name for name, module in backbone.named_modules()}
    return [names[block] for block in blocks_of(backbone)]


@pytest.mark.parametrize("name", COUNTS)
def test_a_backbone_has_as_many_blocks_as_its_paper_says(name):
    assert len(blocks_of(create(name))) == COUNTS[name]


def test_the_blocks_of_both_jigsaw_branches_are_among_them():
    backbone = create("vit_micro", jigsaw=JigsawSpec())
    assert names_of(backbone) == ["blocks.0", "blocks.1", "blocks.2", "global_branch.0", "local_branch.0"]


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_much_of_every_backbone_is_in_blocks_and_no_block_lies_in_another(name):
    backbone = create(name)
    places = names_of(backbone)
    assert not any(a != b and a.startswith(f"{b}.") for a in places for b in places)
    inside = sum(p.numel() for block in blocks_of(backbone) for p in block.parameters())
    assert inside > 0.3 * sum(p.numel() for p in backbone.parameters())


def test_a_backbone_without_known_blocks_is_refused_by_its_name():
    with pytest.raises(InputError, match=r"got Sequential; set SOLVER.GRAD_CHECKPOINTING False"):
        blocks_of(nn.Sequential(nn.Linear(2, 2)))

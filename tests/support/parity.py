"""A drawn file, what its peer computes of images, and the check that its import computes the same."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torchvision
from peer_parts import smooth_images
from peers import assert_every_key_is_accounted_for, imported
from torch import nn
from torch.nn import functional as F

PERSON, TALL, VEHICLE = (256, 128), (384, 128), (256, 256)
# Sums in another order, over a few dozen layers in single precision.
TOLERANCE = 1e-5


@dataclass
class Case:
    """A file, what its peer computes of (state, images), and the model that it becomes."""

    state: Any
    feature: Any
    name: str
    size: tuple[int, int] = PERSON
    options: dict = field(default_factory=dict)
    sides: dict = field(default_factory=dict)
    # Whether the oracle also knows the feature on the other side of the neck.
    neck_feat: str = ""


def relative_error(found, expected):
    assert found.shape == expected.shape
    return float((found - expected).norm() / expected.norm())


@torch.no_grad()
def check(case):
    state = case.state()
    model, header, report = imported(state, **case.options)
    assert header.model.name == case.name
    assert_every_key_is_accounted_for(report, state)
    assert report.unexpected == []
    images = smooth_images(2, *case.size)
    assert header.preprocessing.size == case.size
    found = model.embed(images, **case.sides)
    assert relative_error(found, case.feature(state, images)) < TOLERANCE
    if case.neck_feat:
        assert header.model.neck_feat != case.neck_feat
        model.spec = replace(model.spec, neck_feat=case.neck_feat)
        other = model.embed(images, **case.sides)
        assert relative_error(other, case.feature(state, images, neck_feat=case.neck_feat)) < TOLERANCE
        assert relative_error(other, found) > 0.1
    return model, header, report


def resized(positions, own, grid):
    """(1, 1 + N, D) positions on another grid, bilinear."""
    patches = positions[:, 1:].unflatten(1, own).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, grid, mode="bilinear", align_corners=False)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


def torchvision_resnet(name):
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.8, 1.2)
            part.bias.data.normal_(0, 0.1)
    return model.eval()

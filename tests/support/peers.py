"""Key and shape listings of peers' checkpoints, and small files in their formats."""

import ast
from pathlib import Path

import torch

SHARED = Path(__file__).parents[3] / "shared"
LISTINGS = SHARED / "spec" / "state_dicts"


def listing(name):
    """Shapes by key of one listing."""
    lines = (LISTINGS / f"{name}.txt").read_text(encoding="utf-8").splitlines()[1:]
    return {key: ast.literal_eval(shape) for key, shape, _ in (line.split("\t") for line in lines)}


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


def bn(prefix, dim):
    """A BatchNorm with statistics of its own."""
    torch.manual_seed(dim)
    return {
        f"{prefix}weight": torch.rand(dim) + 0.5,
        f"{prefix}bias": torch.zeros(dim),
        f"{prefix}running_mean": torch.randn(dim),
        f"{prefix}running_var": torch.rand(dim) + 0.5,
        f"{prefix}num_batches_tracked": torch.tensor(7),
    }


def transreid(backbone, classes):
    """TransReID's file for a timm vision transformer's state dict, ImageNet head included."""
    dim = backbone["cls_token"].shape[-1]
    head = {"base.fc.weight": torch.ones(1000, dim), "base.fc.bias": torch.ones(1000)}
    return (
        prefixed(backbone, "base.")
        | head
        | {"classifier.weight": torch.ones(classes, dim)}
        | bn("bottleneck.", dim)
    )


def denoiserep(backbone, classes):
    """The same after training and fusing by DenoiseRep's authors: leftovers beside each MLP layer."""
    state = transreid(backbone, classes)
    for key in [k for k in state if k.endswith((".fc1.weight", ".fc2.weight"))]:
        layer, dim = key.removesuffix("weight"), 4
        state |= {f"{layer}betas": torch.ones(10), f"{layer}posterior_variance": torch.ones(10)}
        state |= {f"{layer}dm.weight": torch.ones(dim, dim), f"{layer}dm.bias": torch.ones(dim)}
        state |= {f"{layer}time_mlp.{i}.weight": torch.ones(dim, dim) for i in (1, 3)}
        state |= {f"{layer}teacher.weight": torch.ones(dim, dim)}
    return state


def fastreid(backbone, classes, generation):
    """fast-reid's file for a torchvision ResNet's state dict, with one of its three generations of heads."""
    dim = backbone["layer4.2.bn3.weight"].shape[0]
    state = prefixed({k: v for k, v in backbone.items() if not k.startswith("fc.")}, "backbone.")
    neck = "heads.bnneck." if generation == 1 else "heads.bottleneck.0."
    classifier = "heads.weight" if generation == 3 else "heads.classifier.weight"
    state |= bn(neck, dim) | {classifier: torch.ones(classes, dim)}
    return state if generation == 3 else state | {"pixel_mean": torch.ones(1, 3, 1, 1)}


def shapes_of(state):
    return {key: tuple(value.shape) for key, value in state.items()}

"""Key and shape listings of peers' checkpoints, and what becomes of drawn files in their formats."""

import ast
from pathlib import Path

import torch

from reid.models.formats import ImportOptions, convert, detect

SHARED = Path(__file__).parents[3] / "shared"
LISTINGS = SHARED / "spec" / "state_dicts"
PATH = Path("peer.pth")


def listing(name):
    """Shapes by key of one listing."""
    lines = (LISTINGS / f"{name}.txt").read_text(encoding="utf-8").splitlines()[1:]
    return {key: ast.literal_eval(shape) for key, shape, _ in (line.split("\t") for line in lines)}


def prefixed(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


def shapes_of(state):
    return {key: tuple(value.shape) for key, value in state.items()}


def denoised(state):
    """A TransReID file after training and fusing by DenoiseRep's authors: leftovers beside each MLP layer."""
    state = dict(state)
    for key in [k for k in state if k.endswith((".fc1.weight", ".fc2.weight"))]:
        layer, dim = key.removesuffix("weight"), 4
        state |= {f"{layer}betas": torch.ones(10), f"{layer}posterior_variance": torch.ones(10)}
        state |= {f"{layer}dm.weight": torch.ones(dim, dim), f"{layer}dm.bias": torch.ones(dim)}
        state |= {f"{layer}time_mlp.{i}.weight": torch.ones(dim, dim) for i in (1, 3)}
        state |= {f"{layer}teacher.weight": torch.ones(dim, dim)}
    return state


def imported(state, family=None, **options):
    return convert(state, detect(shapes_of(state), family), PATH, ImportOptions(**options))


def assert_every_key_is_accounted_for(report, state):
    lists = (report.matched, report.interpolated, report.dropped, report.unexpected)
    assert sorted(key for keys in lists for key in keys) == sorted(state)

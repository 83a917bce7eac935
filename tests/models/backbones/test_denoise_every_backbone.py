"""DenoiseRep attaches to every backbone, trains on it and folds out of it, at the plain network's cost."""

import pytest
import torch
from denoisers import randomise_denoisers, relative_difference

from reid.denoise import (
    attach_denoisers,
    collect_denoise_loss,
    denoised_layers,
    denoiser_parameters,
    fuse_denoisers,
)
from reid.denoise.dataflow import LayerTracer
from reid.evaluation import measure_latency
from reid.models import BACKBONES, JigsawSpec, ModelSpec, ReIDModel, SideSpec

SIZE = (64, 32)
IMAGES = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
CAMERAS, VIEWS = torch.tensor([3, -1]), torch.tensor([0, 1])
SIDE = SideSpec((1, 3), (0, 1))
# What the specification can add to a vision transformer or a ResNet.
VARIANTS = {
    "vit_micro, overlapping": ("vit_micro", {"patch_stride": (6, 6)}),
    "vit_micro, cameras and views": ("vit_micro", {"side": SIDE}),
    "vit_micro, jigsaw and cameras": ("vit_micro", {"jigsaw": JigsawSpec(), "side": SideSpec((1, 3))}),
    "vit_micro, stem of convolutions": ("vit_micro", {"conv_stem": True}),
    "vit_micro, pooled and reduced": ("vit_micro", {"gem": True, "feat_dim": 32}),
    "clip_vit_micro, overlapping, views": (
        "clip_vit_micro",
        {"patch_stride": (6, 6), "side": SideSpec((), (0, 1))},
    ),
    "resnet10, learned pooling": ("resnet10", {"gem": True}),
    "vit_small, all of TransReID": (
        "vit_small",
        {"patch_stride": (12, 12), "jigsaw": JigsawSpec(), "side": SIDE},
    ),
    "vit_small, all of TransReID-SSL": ("vit_small", {"conv_stem": True, "gem": True, "feat_dim": 256}),
}
NETWORKS = {name: (name, {}) for name in BACKBONES} | VARIANTS
# Small enough for every run.
QUICK = {"vit_micro", "clip_vit_micro", "clip_resnet14", "resnet10", "osnet_x0_25"}
CASES = [
    pytest.param(*case, id=title, marks=[] if title in QUICK else pytest.mark.slow)
    for title, case in NETWORKS.items()
]


def is_transformer(name):
    return name.startswith(("vit", "clip_vit", "swin"))


def without_zeros(model):
    """Residual branches of SwinV2 and of some ResNets begin with a scale of zero, and would hide a layer."""
    for parameter in model.parameters():
        if parameter.requires_grad and not parameter.any():
            torch.nn.init.uniform_(parameter, 0.1, 0.3)
    return model


def features(model):
    return model.eval().embed(IMAGES, CAMERAS, VIEWS)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_network_can_be_traced_so_that_its_layers_have_their_order(name, options):
    """Else steps would follow the order of registration, and BatchNorms would not be found."""
    LayerTracer().trace(ReIDModel(ModelSpec(name, SIZE, 3, **options)))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_denoisers_attach_train_and_fold_away(name, options):
    torch.manual_seed(0)
    plain = without_zeros(ReIDModel(ModelSpec(name, SIZE, 3, **options)).eval())
    model = attach_denoisers(plain, "mlp" if is_transformer(name) else "conv")
    assert len(denoised_layers(model)) >= 4

    # Trained: every denoiser is reached, the backbone is not.
    with collect_denoise_loss(model) as losses, torch.no_grad():
        model.embed(IMAGES, CAMERAS, VIEWS)
    losses.total.backward()
    own = {id(p) for p in denoiser_parameters(model)}
    reached = {id(p) for p in model.parameters() if p.grad is not None}
    assert reached == own

    # Fused: the same features as unfused, others than the plain ones, the plain network's keys.
    randomise_denoisers(model)
    fused = fuse_denoisers(model)
    assert relative_difference(features(fused), features(model)) < 1e-4
    assert relative_difference(features(fused), features(plain)) > 1e-6
    assert not denoised_layers(fused)
    ReIDModel(plain.spec).load_state_dict(fused.state_dict(), strict=True)
    assert [type(m) for m in fused.modules()] == [type(m) for m in plain.modules()]

    # The plain network's time: interleaved, the best of five tries, for a neighbour may disturb one.
    models = {"plain": plain, "fused": fused}
    tries = (measure_latency(models, IMAGES, rounds=5)["fused"].ratio_to_first for _ in range(5))
    assert any(ratio < 1.2 for ratio in tries)

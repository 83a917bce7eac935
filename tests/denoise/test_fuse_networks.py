"""The contract of fusion on whole networks from timm."""

import pytest
import timm
import torch
from denoisers import randomise_denoisers, relative_difference

from reid.denoise import attach_denoisers, fuse_denoisers

NETWORKS = {
    "vit": ("vit_small_patch16_224", {"img_size": (64, 32)}, (64, 32)),
    "swin": ("swin_tiny_patch4_window7_224", {"img_size": 56}, (56, 56)),
    "resnet50": ("resnet50", {}, (64, 32)),
}
SMALL = {
    "vit": ("vit_small_patch16_224", {"img_size": (64, 32), "depth": 2}, (64, 32)),
    "swin": ("swin_tiny_patch4_window7_224", {"img_size": 56, "depths": (1, 1, 1, 1)}, (56, 56)),
    "resnet": ("resnet14t", {}, (64, 32)),
}


def make(name, options, dtype):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, **options).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.ones_(module.weight)
    return model.to(dtype)


def check(network, targets, dtype, tolerance, steps=1):
    name, options, size = network
    plain = make(name, options, dtype)
    model = randomise_denoisers(attach_denoisers(plain, targets, steps=steps))
    fused = fuse_denoisers(model)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        difference = relative_difference(fused(images), model(images))
        effect = relative_difference(plain(images), model(images))
    assert difference < tolerance
    assert effect > 10 * difference
    assert list(fused.state_dict()) == list(plain.state_dict())
    make(name, options, dtype).load_state_dict(fused.state_dict(), strict=True)


@pytest.mark.parametrize("targets", [pytest.param("mlp", marks=pytest.mark.slow), "attn", "all"])
@pytest.mark.parametrize("network", ["vit", pytest.param("swin", marks=pytest.mark.slow)])
def test_small_transformers_in_double(network, targets):
    check(SMALL[network], targets, torch.float64, 1e-10, steps=2)


@pytest.mark.slow
def test_small_resnet_in_double():
    check(SMALL["resnet"], "conv", torch.float64, 1e-10, steps=2)


@pytest.mark.slow
@pytest.mark.parametrize("targets", ["mlp", "attn", "conv", "all", r".*(fc1|conv2|qkv)"])
@pytest.mark.parametrize("network", list(NETWORKS))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_whole_networks(network, targets, dtype, tolerance):
    if network == "resnet50" and targets in ("mlp", "attn"):
        pytest.skip("ResNet-50 has no such layers")
    check(NETWORKS[network], targets, dtype, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("network", list(NETWORKS))
def test_whole_networks_in_bfloat16(network):
    """Fused and unfused round differently; both stay as close to float32 as bfloat16's 8 bits allow."""
    name, options, size = NETWORKS[network]
    exact = randomise_denoisers(attach_denoisers(make(name, options, torch.float32), "all"))
    model = randomise_denoisers(attach_denoisers(make(name, options, torch.bfloat16), "all"))
    fused = fuse_denoisers(model)
    assert {p.dtype for p in fused.parameters()} == {torch.bfloat16}
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        target = exact(images)
        for candidate in (model, fused):
            cosine = torch.cosine_similarity(candidate(images.bfloat16()).float(), target)
            assert cosine.min() > 0.99

"""The contract of fusion, on small networks; whole networks are in test_fuse_networks.py."""

import copy

import pytest
import torch
from denoisers import randomise_denoisers, relative_difference
from timm.utils import reparameterize_model
from torch import nn

from reid.denoise import (
    DenoisedFeature,
    attach_denoisers,
    denoised_layers,
    fuse_denoisers,
    weight_change,
)


class Residual(nn.Module):
    """Convolutions with and without bias, with BatchNorm behind and without, strided, dilated, padded."""

    def __init__(self, bias):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, stride=2, padding=2, dilation=2, bias=bias)
        self.bn2 = nn.BatchNorm2d(6)
        self.downsample = nn.Sequential(nn.Conv2d(3, 6, 1, stride=2, bias=bias), nn.BatchNorm2d(6))
        self.last = nn.Conv2d(6, 4, 1, bias=bias)
        self.mlp = nn.Sequential(nn.Linear(4, 8, bias=bias), nn.GELU(), nn.Linear(8, 5, bias=bias))
        for norm in (self.bn1, self.bn2, self.downsample[1]):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.normal_(norm.bias)

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return self.mlp(self.last((y + self.downsample(x)).relu()).mean((2, 3)))


def make(bias=True, steps=1, dtype=torch.float64, targets="all"):
    torch.manual_seed(0)
    plain = Residual(bias).eval()
    return plain.to(dtype), randomise_denoisers(attach_denoisers(plain, targets, steps=steps)).to(dtype)


IMAGES = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("targets", ["mlp", "conv", "all", r"conv\d"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # float32 rounds at 6e-8 and a chain of seven layers of sums loses two digits; bfloat16 rounds at 4e-3.
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 5e-2)],
)
def test_fused_equals_unfused_and_differs_from_plain(targets, bias, steps, dtype, tolerance):
    plain, model = make(bias, steps, dtype, targets)
    fused = fuse_denoisers(model)
    images = IMAGES.to(dtype)
    assert relative_difference(fused(images), model(images)) < tolerance
    if dtype != torch.bfloat16:
        assert relative_difference(plain(images), model(images)) > 10 * tolerance


@pytest.mark.parametrize("bias", [True, False])
def test_fused_keys_are_the_plain_ones_and_load_strictly(bias):
    plain, model = make(bias)
    fused = fuse_denoisers(model)
    assert list(fused.state_dict()) == list(plain.state_dict())
    fresh = Residual(bias).double().eval()
    fresh.load_state_dict(fused.state_dict(), strict=True)
    assert torch.equal(fresh(IMAGES), fused(IMAGES))
    assert {type(m) for m in fused.modules()} == {type(m) for m in plain.modules()}


def test_the_batch_norm_takes_the_constant_into_its_running_mean():
    _, model = make(bias=False, targets="conv1")
    fused = fuse_denoisers(model)
    assert fused.conv1.bias is None
    constant = model.conv1.denoiser.as_affine()[1]
    assert constant.abs().min() > 0
    torch.testing.assert_close(fused.bn1.running_mean, model.bn1.running_mean - constant)


def test_the_original_is_left_as_it_was():
    _, model = make(bias=False)
    before, output = copy.deepcopy(model.state_dict()), model(IMAGES)
    fuse_denoisers(model)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(model(IMAGES), output)


def test_two_fusions_are_bitwise_equal_and_a_second_one_changes_nothing():
    _, model = make(bias=False)
    first, second = fuse_denoisers(model), fuse_denoisers(model)
    again = fuse_denoisers(first)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key])
        assert torch.equal(value, again.state_dict()[key])
    assert again is not first


def test_train_and_eval_change_no_weight():
    _, model = make()
    before = copy.deepcopy(model.state_dict())
    model.train().eval()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_saved_and_loaded_denoised_model_fuses_to_the_same_bits(tmp_path):
    plain, model = make(bias=False)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    fresh = attach_denoisers(plain, "all")
    fresh.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True), strict=True)
    for key, value in fuse_denoisers(fresh).state_dict().items():
        assert torch.equal(value, fuse_denoisers(model).state_dict()[key])


def test_a_model_inside_a_larger_one_fuses_exactly():
    """The way to the BatchNorm is relative, so a new root does not break it."""
    _, model = make(bias=False)
    outer = nn.Sequential(nn.Identity(), model)
    assert relative_difference(fuse_denoisers(outer)(IMAGES), model(IMAGES)) < 1e-12


def test_synchronised_batch_norm_takes_the_constant_too():
    _, model = make(bias=False)
    expected = model(IMAGES)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model).eval()
    fused = fuse_denoisers(converted)
    assert isinstance(fused.bn1, nn.SyncBatchNorm)
    assert relative_difference(fused(IMAGES), expected) < 1e-12


def test_timms_walker_gives_the_same_function():
    _, model = make(bias=False)
    assert relative_difference(reparameterize_model(model)(IMAGES), model(IMAGES)) < 1e-12


def test_a_single_layer_fuses():
    model = randomise_denoisers(attach_denoisers(nn.Linear(3, 3).double(), ".*"))
    assert type(fuse_denoisers(model)) is nn.Linear


def test_non_finite_denoisers_are_refused_by_layer():
    _, model = make()
    model.conv2.denoiser.bias.data[0] = float("inf")
    with pytest.raises(ValueError, match="conv2 cannot be fused: the fused bias is not finite"):
        fuse_denoisers(model)


@pytest.mark.parametrize("replacement", [nn.Identity(), nn.BatchNorm2d(7)])
def test_a_batch_norm_that_changed_is_refused(replacement):
    _, model = make(bias=False)
    model.bn1 = replacement
    with pytest.raises(ValueError, match="conv1 cannot be fused: the BatchNorm 'bn1'"):
        fuse_denoisers(model)


def test_a_batch_norm_that_is_gone_is_refused():
    _, model = make(bias=False)
    del model.bn1
    with pytest.raises(ValueError, match="'bn1' that must take its constant is gone"):
        fuse_denoisers(model)


def test_a_denoised_final_feature_is_refused():
    with pytest.raises(ValueError, match="has no layer to fold into"):
        fuse_denoisers(DenoisedFeature(nn.Linear(2, 2), 2))


def test_weight_change_by_hand():
    """W_D = w I and one step: W' = (1/sqrt(a) - C1 w) W, so the change is |1/sqrt(a) - C1 w - 1|."""
    model = attach_denoisers(nn.Linear(3, 3).double(), ".*")
    model.denoiser.weight.data = 2 * torch.eye(3, dtype=torch.float64)
    scale, c1 = model.denoiser.schedule.reverse_coefficients(1)
    assert weight_change(model)[""] == pytest.approx(abs(scale - 2 * c1 - 1))


def test_weight_change_names_every_layer():
    _, model = make()
    changes = weight_change(model)
    assert set(changes) == set(denoised_layers(model))
    assert all(change > 0 for change in changes.values())
    assert weight_change(model, fuse_denoisers(model)) == changes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_denoisers_of_no_strength_fuse_to_the_plain_weights_to_the_bit(dtype):
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(5, 6)
    ).to(dtype)
    model = randomise_denoisers(attach_denoisers(plain, r"\d", steps=2, strength=0.0))
    fused = fuse_denoisers(model).state_dict()
    assert all(torch.equal(value, fused[key]) for key, value in plain.state_dict().items())
    images = torch.randn(2, 3, 5, 5, dtype=dtype)
    assert torch.equal(model.eval()(images), plain.eval()(images))


@pytest.mark.parametrize("t_rule", ["spread", "100"])
def test_a_part_of_the_denoising_fuses_exactly(t_rule):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 9, 6)).double()
    model = randomise_denoisers(attach_denoisers(plain, r"\d", steps=2, t_rule=t_rule, strength=0.3))
    images = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    assert relative_difference(fuse_denoisers(model)(images), model(images)) < 1e-12
    assert relative_difference(plain(images), model(images)) > 1e-6

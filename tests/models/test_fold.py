import pytest
import torch
from torch import nn

from reid.models import DenoiseSpec, ModelSpec, ReIDModel
from reid.models.fold import can_fold, fold_affine


def reduced(neck_feat="after", name="resnet10", **options):
    """A model whose BNNeck has statistics of its own."""
    torch.manual_seed(0)
    model = ReIDModel(ModelSpec(name, (64, 32), 3, feat_dim=16, neck_feat=neck_feat, **options)).eval()
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.neck.named_buffers():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + ("var" in name) * 0.5)
    model.neck.weight.data.copy_(torch.randn(16, generator=generator))
    model.neck.bias.data.copy_(torch.randn(16, generator=generator))
    return model


def affine(dim=16):
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    return matrix, torch.randn(dim, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", ["resnet10", "vit_micro"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_the_folded_feature_is_the_affine_map_of_the_feature(name, dtype, tolerance):
    model, (matrix, constant) = reduced(name=name).to(dtype), affine()
    images = torch.randn(3, 3, 64, 32, dtype=dtype)
    expected = model.embed(images).double() @ matrix.T + constant
    found = fold_affine(model, matrix, constant).embed(images)
    assert found.dtype == dtype
    assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


def test_folding_by_hand():
    model = reduced()
    model.reduction.weight.data.zero_()
    model.reduction.weight.data[:, 0] = 1.0
    folded = fold_affine(model, 2 * torch.eye(16), torch.ones(16))
    gain = model.neck.weight / (model.neck.running_var + model.neck.eps).sqrt()
    torch.testing.assert_close(folded.reduction.weight[:, 0], 2 * gain)
    torch.testing.assert_close(folded.neck.bias, 2 * (model.neck.bias - gain * model.neck.running_mean) + 1)
    assert torch.equal(folded.neck.running_mean, torch.zeros(16))


def test_keys_are_the_plain_ones_and_the_original_is_left():
    model = reduced()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_affine(model, *affine())
    assert list(folded.state_dict()) == list(before)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert folded.spec == model.spec
    fresh = ReIDModel(folded.spec).eval()
    fresh.load_state_dict(folded.state_dict(), strict=True)
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(fresh.embed(images), folded.embed(images))
    assert torch.equal(folded.classifier.weight, model.classifier.weight)


def test_folding_twice_composes():
    model, (matrix, constant) = reduced().double(), affine()
    images = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    twice = fold_affine(fold_affine(model, matrix, constant), matrix, constant).embed(images)
    once = model.embed(images) @ matrix.T + constant
    torch.testing.assert_close(twice, once @ matrix.T + constant, rtol=1e-9, atol=1e-9)


def test_the_identity_changes_nothing():
    model = reduced()
    folded = fold_affine(model, torch.eye(16), torch.zeros(16))
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(folded.embed(images), model.embed(images), rtol=1e-4, atol=1e-5)


def test_denoisers_inside_the_network_stay():
    model = DenoiseSpec().attach(reduced(name="vit_micro").double())
    for name, parameter in model.named_parameters():
        if ".denoiser." in name:
            nn.init.normal_(parameter, std=0.1)
    matrix, constant = affine()
    images = torch.randn(2, 3, 64, 32, dtype=torch.float64)
    expected = model.embed(images) @ matrix.T + constant
    torch.testing.assert_close(fold_affine(model, matrix, constant).embed(images), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: reduced("before"),
        lambda: reduced(adapted=True),
        lambda: ReIDModel(ModelSpec("resnet10", (64, 32), 3, neck_feat="after")),
        lambda: DenoiseSpec(targets=("feature",)).attach(reduced()),
    ],
    ids=["before the neck", "adapted", "not reduced", "feature denoised"],
)
def test_where_there_is_no_place_it_is_refused(make):
    model = make()
    assert not can_fold(model)
    with pytest.raises(ValueError, match="must come out of a reducing layer and the BNNeck; it does not"):
        fold_affine(model, *affine())


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 1e300])
def test_what_is_not_finite_is_refused(number):
    matrix, constant = affine()
    matrix[0, 0] = number
    model = reduced()
    with pytest.raises(ValueError, match="must be finite, it is not; the denoising has too large numbers"):
        fold_affine(model, matrix, constant)

import naive_denoise as naive
import pytest
import torch
from denoisers import randomise_denoisers, relative_difference
from torch import nn

from reid.denoise import DenoisedConv2d, DenoisedLinear, Denoiser, NoiseSchedule

SCHEDULE = NoiseSchedule(20, 0.01, 0.2)


def linear(bias=True, steps=1, dtype=torch.float64):
    layer = nn.Linear(3, 2, bias=bias)
    denoised = DenoisedLinear(layer, Denoiser(3, 5, steps, SCHEDULE, bias=bias))
    return randomise_denoisers(denoised).to(dtype)


def conv(bias=True, steps=1, dtype=torch.float64, **options):
    layer = nn.Conv2d(3, 4, options.pop("kernel_size", 3), bias=bias, **options)
    denoised = DenoisedConv2d(layer, Denoiser(4, 5, steps, SCHEDULE, channel_dim=-3))
    return randomise_denoisers(denoised).to(dtype)


def test_linear_denoises_its_input_like_the_plain_loop():
    layer = linear()
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    weight, bias = layer.denoiser.weight.tolist(), layer.denoiser.bias.tolist()
    clean = naive.reverse_step(x.tolist(), weight, bias, 5, 20, 0.01, 0.2)
    expected = naive.linear(clean, layer.weight.tolist(), layer.bias.tolist())
    assert layer(x).tolist() == pytest.approx(expected, rel=1e-12)
    assert layer.fuse()(x).tolist() == pytest.approx(expected, rel=1e-12)


def test_fused_linear_is_the_equation_of_the_paper_with_its_factor():
    """W' = W / sqrt(a_t) - C1(t) W W_D,  b' = b - C1(t) W b_D."""
    layer = linear()
    c1 = SCHEDULE.beta(5) / (SCHEDULE.alpha(5) * (1 - SCHEDULE.alpha_bar(5))) ** 0.5
    w, b, w_d, b_d = layer.weight, layer.bias, layer.denoiser.weight, layer.denoiser.bias
    fused = layer.fuse()
    torch.testing.assert_close(fused.weight, w / SCHEDULE.alpha(5) ** 0.5 - c1 * w @ w_d)
    torch.testing.assert_close(fused.bias, b - c1 * w @ b_d)


def test_conv_denoises_its_output_channels_like_the_plain_loop():
    layer = conv(padding=1)
    x = torch.randn(1, 3, 5, 4, dtype=torch.float64)
    plain = layer.plain()(x)
    weight, bias = layer.denoiser.weight.tolist(), layer.denoiser.bias.tolist()
    for i, j in ((0, 0), (2, 3), (4, 1)):
        expected = naive.reverse_step(plain[0, :, i, j].tolist(), weight, bias, 5, 20, 0.01, 0.2)
        assert layer(x)[0, :, i, j].tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # bfloat16 keeps 8 bits: half an ulp is 4e-3, and the unfused graph rounds some ten times on its way.
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 4e-2)],
)
class TestFusedEqualsUnfused:
    def test_linear(self, bias, steps, dtype, tolerance):
        layer = linear(bias, steps, dtype)
        x = torch.randn(4, 7, 3).to(dtype)
        fused = layer.fuse()
        assert type(fused) is nn.Linear
        assert fused.weight.dtype == dtype
        assert relative_difference(fused(x), layer(x)) < tolerance
        assert relative_difference(layer.plain()(x), layer(x)) > 4 * tolerance or dtype == torch.bfloat16

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"kernel_size": 1},
            {"padding": 1},
            {"padding": 2, "stride": 2},
            {"padding": 2, "dilation": 2},
            {"kernel_size": (1, 3), "padding": (0, 1), "padding_mode": "reflect"},
        ],
        ids=str,
    )
    def test_conv(self, bias, steps, dtype, tolerance, options):
        layer = conv(bias, steps, dtype, **options)
        x = torch.randn(2, 3, 9, 8).to(dtype)
        fused = layer.fuse()
        assert type(fused) is nn.Conv2d
        assert relative_difference(fused(x), layer(x)) < tolerance
        assert relative_difference(layer.plain()(x), layer(x)) > 4 * tolerance or dtype == torch.bfloat16


def test_fusing_leaves_the_layer_as_it_was_and_gives_the_same_bits():
    layer = conv()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    first, second = layer.fuse(), layer.fuse()
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


def test_plain_shares_the_weights():
    layer = linear()
    assert layer.plain().weight is layer.weight
    assert layer.plain().bias is layer.bias


def test_mode_and_frozen_flags_carry_over():
    layer = linear().eval()
    layer.weight.requires_grad_(False)
    fused = layer.fuse()
    assert not fused.training
    assert not fused.weight.requires_grad


def test_a_diverged_denoiser_is_refused():
    layer = linear()
    layer.denoiser.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"fused weight is not finite in torch\.float64"):
        layer.fuse()


def test_overflow_in_a_narrow_dtype_is_refused():
    layer = linear(dtype=torch.float16)
    layer.denoiser.weight.data.fill_(6e4)
    layer.weight.data.fill_(6e4)
    with pytest.raises(ValueError, match="fused weight is not finite"):
        layer.fuse()


def test_mismatched_parts_are_refused():
    with pytest.raises(ValueError, match="denoiser has 4 channels, the input 3"):
        DenoisedLinear(nn.Linear(3, 2), Denoiser(4, 1, 1, SCHEDULE))
    with pytest.raises(ValueError, match="takes a denoiser without one"):
        DenoisedLinear(nn.Linear(3, 2, bias=False), Denoiser(3, 1, 1, SCHEDULE))
    with pytest.raises(ValueError, match="denoiser has 3 channels, the output 4"):
        DenoisedConv2d(nn.Conv2d(3, 4, 1), Denoiser(3, 1, 1, SCHEDULE, channel_dim=-3))
    with pytest.raises(ValueError, match="groups=3"):
        DenoisedConv2d(nn.Conv2d(3, 3, 1, groups=3), Denoiser(3, 1, 1, SCHEDULE, channel_dim=-3))

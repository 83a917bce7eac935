import warnings

import pytest
import torch
import torch.nn.utils.prune
from denoisers import randomise_denoisers
from torch import nn

from reid.denoise import (
    DenoisedConv2d,
    DenoisedLinear,
    NoiseSchedule,
    attach_denoisers,
    denoised_layers,
    denoiser_parameters,
    detach_denoisers,
    fuse_denoisers,
)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(4, 12), nn.Linear(4, 4)

    def forward(self, x):
        q, _, v = self.qkv(x).chunk(3, -1)
        return self.proj(q * v)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
        self.attn = Attention()

    def forward(self, x):
        return x + self.mlp(self.attn(x))


class Model(nn.Module):
    """Convolution, BatchNorm, two blocks and a head, like a small hybrid transformer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, 1, groups=4)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.depthwise(self.norm(self.stem(x))).flatten(2).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def names(targets, **options):
    return list(denoised_layers(attach_denoisers(Model(), targets, **options)))


MLP = [f"blocks.{i}.mlp.{j}" for i in (0, 1) for j in (0, 2)]
ATTN = [f"blocks.{i}.attn.{j}" for i in (0, 1) for j in ("qkv", "proj")]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("mlp", MLP),
        ("attn", ATTN),
        (["mlp", "attn"], MLP + ATTN),
        ("conv", ["stem"]),
        ("all", ["stem", *MLP, *ATTN]),
        (r"blocks\.1\..*qkv", ["blocks.1.attn.qkv"]),
        ("head", ["head"]),
    ],
    ids=str,
)
def test_targets_choose_layers(targets, expected):
    assert sorted(names(targets)) == sorted(expected)


@pytest.mark.parametrize("steps", [1, 2])
def test_t_falls_with_depth_over_one_flat_list_in_forward_order(steps):
    """Attention runs before the MLP although it is registered after it."""
    layers = denoised_layers(attach_denoisers(Model(), ["attn", "mlp"], steps=steps))
    order = [f"blocks.{i}.{rest}" for i in (0, 1) for rest in ("attn.qkv", "attn.proj", "mlp.0", "mlp.2")]
    steps_in_order = [t for name in order for t in layers[name].denoiser.timesteps]
    assert steps_in_order == list(range(8 * steps, 0, -1))


@pytest.mark.parametrize(
    ("t_rule", "expected"), [("spread", [50, 38, 25, 13]), ("20", [20] * 4), (20, [20] * 4)]
)
def test_rule_and_strength_reach_every_layer(t_rule, expected):
    attached = attach_denoisers(Model(), ["mlp"], NoiseSchedule(50), 3, t_rule, 0.5)
    denoisers = [layer.denoiser for layer in denoised_layers(attached).values()]
    assert [denoiser.timesteps for denoiser in denoisers] == [(t, t - 1, t - 2) for t in expected]
    assert {denoiser.strength for denoiser in denoisers} == {0.5}


def test_the_plain_model_is_left_as_it_was():
    plain = Model()
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    attached = randomise_denoisers(attach_denoisers(plain, "all"))
    attached.blocks[0].mlp[0].weight.data.add_(1)
    assert denoised_layers(plain) == {}
    assert all(torch.equal(before[key], value) for key, value in plain.state_dict().items())


def test_plain_keys_stay_where_they_were():
    plain, attached = Model(), attach_denoisers(Model(), "all")
    extra = set(attached.state_dict()) - set(plain.state_dict())
    assert set(plain.state_dict()) <= set(attached.state_dict())
    assert extra
    assert all(".denoiser." in key for key in extra)


def test_denoisers_follow_dtype_and_mode():
    attached = attach_denoisers(Model().to(torch.bfloat16).eval(), "all")
    assert {p.dtype for p in denoiser_parameters(attached)} == {torch.bfloat16}
    assert not any(module.training for module in attached.modules())


def test_denoiser_parameters_are_all_that_is_new():
    attached = attach_denoisers(Model(), "mlp")
    count = sum(p.numel() for p in denoiser_parameters(attached))
    assert count == 2 * (4 * 4 + 4 + 8 * 8 + 8)
    plain = sum(p.numel() for p in Model().parameters())
    assert sum(p.numel() for p in attached.parameters()) == plain + count


def test_constants_exist_only_where_something_can_hold_them():
    """A bias of its own, or a BatchNorm right behind."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1),
        nn.Flatten(),
        nn.Linear(4, 4, bias=False),
        nn.Linear(4, 4),
    )
    layers = denoised_layers(attach_denoisers(model, r"\d"))
    has_constant = {name: layer.denoiser.bias is not None for name, layer in layers.items()}
    assert has_constant == {"0": True, "2": False, "4": True, "6": False, "7": True}


def test_a_layer_alone_can_be_denoised():
    assert isinstance(attach_denoisers(nn.Linear(2, 2), ".*"), DenoisedLinear)
    assert isinstance(attach_denoisers(nn.Conv2d(2, 2, 1), "conv"), DenoisedConv2d)


def test_detaching_gives_the_plain_model_back():
    torch.manual_seed(0)
    plain = Model().eval()
    attached = randomise_denoisers(attach_denoisers(plain, "all"))
    bare = detach_denoisers(attached)
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(bare(images), plain(images))
    assert list(bare.state_dict()) == list(plain.state_dict())
    assert denoised_layers(attached)


def test_grouped_convolutions_are_skipped_by_name(caplog):
    attach_denoisers(Model(), "conv")
    assert "depthwise (grouped convolution, groups=4)" in caplog.text


class ReadsWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = Attention()
        self.mlp = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))

    def forward(self, x):
        return self.mlp[1](nn.functional.linear(x, self.mlp[0].weight))


class OwnLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_layers_whose_forward_never_runs_are_skipped_by_name(caplog):
    assert list(denoised_layers(attach_denoisers(ReadsWeight(), "mlp"))) == ["mlp.1"]
    assert "mlp.0 (the model's forward pass does not call it)" in caplog.text


def test_the_projections_inside_torchs_attention_are_skipped(caplog):
    layer = nn.TransformerDecoderLayer(4, 2, 8)
    assert list(denoised_layers(attach_denoisers(layer, ["all"]))) == ["linear1", "linear2"]
    assert "self_attn.out_proj (torch's own attention reads its weight" in caplog.text


def test_torchs_encoder_layer_has_a_fused_path_past_every_denoiser():
    """In eval mode without gradients it reads linear1.weight and never calls linear1."""
    with pytest.raises(ValueError, match=r"layers\.0\.linear1, .*linear2 \(torch's own attention reads"):
        attach_denoisers(nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 1), r".*linear\d")


def old_norm(norm):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch would like its newer form to be used
        return norm(nn.Linear(2, 2))


def pruned(name):
    return nn.utils.prune.l1_unstructured(nn.Linear(2, 2), name, 0.5)


@pytest.mark.parametrize(
    ("model", "targets", "message"),
    [
        (Model(), "depthwise", r"matches layers that cannot be denoised: depthwise \(grouped"),
        (Model(), "blocks", "no layer to denoise matches"),
        (Model(), [], "no layer to denoise matches"),
        (Model(), "(", "no named set and no regular expression"),
        (nn.Sequential(nn.ReLU()), "all", "the model has none that can be denoised"),
        (nn.Sequential(nn.Conv2d(2, 2, 1, groups=2)), "mlp", "the model has none that can be denoised"),
        (nn.Sequential(nn.Conv2d(2, 2, 1, groups=2), nn.Conv2d(2, 2, 1)), "mlp", "of a layer, such as '1'"),
        (nn.Sequential(OwnLinear(2, 2)), "0", "OwnLinear with a forward of its own"),
        (
            nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
            "0",
            r"0 \(its weight or bias is computed from other parameters\)",
        ),
        (nn.Sequential(old_norm(nn.utils.weight_norm)), "0", "0 .*computed from other parameters"),
        (nn.Sequential(nn.Linear(2, 2), old_norm(nn.utils.weight_norm)), "0", "'weight' of 1 is computed"),
        (nn.Sequential(old_norm(nn.utils.spectral_norm)), "0", "0 .*computed from other parameters"),
        (nn.Sequential(pruned("bias")), "0", "0 .*computed from other parameters"),
        (attach_denoisers(Model(), "mlp"), "blocks.0.mlp.0", "already denoised"),
    ],
)
def test_what_cannot_be_denoised_is_refused(model, targets, message):
    with pytest.raises(ValueError, match=message):
        attach_denoisers(model, targets)


def test_a_module_under_two_names_is_refused():
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="one module under several names"):
        attach_denoisers(nn.Sequential(shared, shared), r"\d")


def test_a_schedule_too_short_for_the_layers_is_refused():
    with pytest.raises(ValueError, match="4 layers of 3 steps need 12 timesteps, the schedule has 10"):
        attach_denoisers(Model(), "mlp", NoiseSchedule(10), steps=3)


def test_steps_below_one_are_refused():
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        attach_denoisers(Model(), "mlp", steps=0)


def test_a_tied_weight_is_refused():
    """Fusing would untie it, and loading the fused keys into the plain model would tie it again."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match="its weight is tied to another layer's"):
        attach_denoisers(model, r"\d")


HOOKS = ("register_forward_pre_hook", "register_forward_hook", "register_full_backward_hook")


@pytest.mark.parametrize("register", HOOKS)
def test_a_layer_with_hooks_is_not_replaced(register):
    """They would be gone without a word; on every other module they stay."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    attached = attach_denoisers(model, "0")
    for change, start in ((lambda m: attach_denoisers(m, "0"), model), (fuse_denoisers, attached)):
        getattr(start[1], register)(lambda *_: None)
        change(start)
        handle = getattr(start[0], register)(lambda *_: None)
        with pytest.raises(ValueError, match="0 has hooks, which would be lost; remove them"):
            change(start)
        handle.remove()
        change(start)


def test_a_layer_whose_weight_becomes_computed_is_not_fused():
    model = attach_denoisers(nn.Sequential(nn.Linear(2, 2)), "0")
    nn.utils.parametrizations.weight_norm(model[0])
    with pytest.raises(ValueError, match="0 cannot be fused: its weight or bias is computed"):
        fuse_denoisers(model)


def test_a_forward_of_ones_own_on_the_instance_is_refused():
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].forward = lambda x: 2 * x
    with pytest.raises(ValueError, match="Linear with a forward of its own"):
        attach_denoisers(model, "0")

import copy

import pytest
import torch
from denoisers import randomise_denoisers
from torch import nn
from torch.utils.checkpoint import checkpoint

from reid.denoise import (
    DenoisedFeature,
    NoiseSchedule,
    attach_denoisers,
    collect_denoise_loss,
    denoised_layers,
    denoiser_parameters,
)


def make():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    return randomise_denoisers(attach_denoisers(model, "all"))


IMAGES = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def test_losses_are_named_by_layer_and_equal_those_of_each_denoiser():
    """The linear layer's features are its input, the convolution's are its output."""
    model = make()
    with collect_denoise_loss(model, "l1+l2", torch.Generator().manual_seed(3)) as losses:
        model(IMAGES)
    generator = torch.Generator().manual_seed(3)
    output = model[0].plain()(IMAGES)
    first = model[0].denoiser.loss(output, "l1+l2", generator)
    hidden = model[0].denoiser(output).relu().flatten(1)
    second = model[3].denoiser.loss(hidden, "l1+l2", generator)
    assert list(losses) == ["0", "3"]
    torch.testing.assert_close(losses["0"], first)
    torch.testing.assert_close(losses["3"], second)
    torch.testing.assert_close(losses.total, first + second)


def test_gradients_reach_denoisers_only():
    model = make()
    with collect_denoise_loss(model) as losses:
        model(IMAGES)
    losses.total.backward()
    own = {id(p) for p in denoiser_parameters(model)}
    assert all((p.grad is not None) == (id(p) in own) for p in model.parameters())


def test_losses_carry_gradients_under_no_grad():
    model = make()
    with collect_denoise_loss(model) as losses, torch.no_grad():
        output = model(IMAGES)
    assert not output.requires_grad
    losses.total.backward()
    assert all(p.grad.abs().sum() > 0 for p in denoiser_parameters(model))


def test_losses_can_be_measured_in_inference_mode():
    model = make()
    with torch.inference_mode(), collect_denoise_loss(model) as losses:
        model(IMAGES)
    assert losses.total > 0


def test_the_output_is_the_same_inside_and_outside():
    model = make().eval()
    with collect_denoise_loss(model):
        inside = model(IMAGES)
    assert torch.equal(inside, model(IMAGES))


def test_nothing_stays_on_the_modules():
    model = make()
    before = copy.deepcopy(model.state_dict())
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        collect_denoise_loss(model, plain=True),
    ):
        model(torch.zeros(2, 3, 5, 5))
    layers = denoised_layers(model).values()
    assert not any(layer._forward_pre_hooks or layer.denoiser._forward_pre_hooks for layer in layers)
    assert not any("forward" in vars(layer.denoiser) for layer in layers)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("steps", [1, 3])
def test_plainly_the_features_and_the_output_are_those_of_the_plain_network(steps):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 5)).double()
    model = randomise_denoisers(attach_denoisers(plain, "all", NoiseSchedule(20, 0.01, 0.2), steps=steps))
    images = IMAGES.double()
    with collect_denoise_loss(model, plain=True) as losses, torch.no_grad():
        output = model(images)
    assert torch.equal(output, plain(images))
    expected = {
        "0": model[0].denoiser.loss(plain[0](images)),
        "3": model[3].denoiser.loss(plain[:3](images)),
    }
    torch.testing.assert_close(dict(losses), expected)
    losses.total.backward()
    assert all(p.grad.abs().sum() > 0 for p in denoiser_parameters(model))
    assert not torch.allclose(model(images), output, rtol=1e-3)


def test_an_input_passed_by_name_is_measured_too():
    model = attach_denoisers(nn.Linear(3, 5), ".*")
    with collect_denoise_loss(model) as losses, torch.no_grad():
        model(input=torch.randn(2, 3))
    assert list(losses) == ["model"]


def test_a_share_of_the_positions_is_drawn_by_the_generator():
    model = make()
    with collect_denoise_loss(model, "l2", torch.Generator().manual_seed(3), share=0.5) as losses:
        model(IMAGES)
    generator = torch.Generator().manual_seed(3)
    output = model[0].plain()(IMAGES)
    first = model[0].denoiser.loss(output, "l2", generator, 0.5)
    hidden = model[0].denoiser(output).relu().flatten(1)
    second = model[3].denoiser.loss(hidden, "l2", generator, 0.5)
    torch.testing.assert_close(dict(losses), {"0": first, "3": second})


def test_a_share_in_a_layer_that_runs_twice_keeps_every_gradient_under_no_grad():
    model = randomise_denoisers(attach_denoisers(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "0"))
    with collect_denoise_loss(model, share=0.25) as losses, torch.no_grad():
        model(model(torch.ones(2, 8, 4)))
    losses.total.backward()
    assert all(p.grad.abs().sum() > 0 for p in denoiser_parameters(model))


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_a_part_that_is_computed_again_in_the_backward_pass_does_not_miss_its_losses(kind):
    """The layer runs twice in the part; the loss is collected once a run, with the same gradient."""
    images, found = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0)), []
    for is_recomputed in (False, True):
        torch.manual_seed(0)
        model = randomise_denoisers(attach_denoisers(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "0"))
        twice = nn.Sequential(model, model)
        with collect_denoise_loss(twice, kind, torch.Generator().manual_seed(3)) as losses:
            output = checkpoint(twice, images, use_reentrant=False) if is_recomputed else twice(images)
        (losses.total + output.square().sum()).backward()
        found.append([losses.total.detach(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(again, plain) for plain, again in zip(*found, strict=True))


def test_a_layer_that_runs_twice_adds_up():
    model = make()
    with collect_denoise_loss(model) as once:
        model(IMAGES)
    with collect_denoise_loss(model) as twice:
        model(IMAGES)
        model(IMAGES)
    assert 1.5 < float(twice.total.detach() / once.total.detach()) < 2.5


def test_a_layer_that_runs_twice_keeps_its_gradient_under_no_grad():
    linear = nn.Linear(4, 4)
    model = attach_denoisers(nn.Sequential(linear, nn.ReLU()), "0")
    with collect_denoise_loss(model) as losses, torch.no_grad():
        model(model(torch.ones(2, 4)))
    losses.total.backward()
    assert all(p.grad is not None for p in denoiser_parameters(model))


def test_the_final_feature_is_collected_too():
    model = DenoisedFeature(nn.Linear(3, 4), dim=4)
    with collect_denoise_loss(model) as losses:
        model(torch.randn(2, 3))
    assert list(losses) == ["model"]


def test_training_label_free_lowers_every_loss():
    plain = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))
    model = attach_denoisers(plain, r"\d", NoiseSchedule(10, 0.3, 0.3))
    optimizer = torch.optim.Adam(denoiser_parameters(model), lr=0.05)
    batch, history = torch.randn(256, 3), []
    for _ in range(200):
        with collect_denoise_loss(model, "l2") as losses, torch.no_grad():
            model(batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        history.append({name: float(loss.detach()) for name, loss in losses.items()})
    assert all(history[-1][name] < 0.8 * history[0][name] for name in ("0", "2"))


def test_a_model_without_denoisers_is_refused():
    with pytest.raises(ValueError, match="call attach_denoisers first"), collect_denoise_loss(nn.ReLU()):
        pass


def test_a_denoiser_that_did_not_run_is_named():
    model = make()
    with pytest.raises(RuntimeError, match="did not run: 3;"), collect_denoise_loss(model):
        model[0](IMAGES)


def test_the_total_of_nothing_is_refused():
    model = make()
    with (
        pytest.raises(ValueError, match="no denoiser has run"),
        collect_denoise_loss(model) as losses,
    ):
        losses.total  # noqa: B018

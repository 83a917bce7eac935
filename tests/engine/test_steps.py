import pytest
import torch
from denoisers import randomise_denoisers

from reid.denoise import attach_denoisers, denoiser_parameters
from reid.engine.phases import BACKBONE, BASELINE, DENOISERS, LABEL_FREE, Freezer
from reid.engine.steps import DenoiseWeight, compute_loss
from reid.losses import IdentityTripletLoss
from reid.models import ModelSpec, ReIDModel

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 1, 1])


def make(phase):
    torch.manual_seed(0)
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), 2))
    if phase is not BASELINE:
        model = randomise_denoisers(attach_denoisers(model, "mlp"))
    Freezer(model).enter(phase)
    return model


def loss_of(model, phase, weight=0.25):
    torch.manual_seed(1)
    criterion = IdentityTripletLoss()
    return compute_loss(model, IMAGES, LABELS, phase, criterion, DenoiseWeight("l2", weight))


def gradients(model):
    own = {id(p) for p in denoiser_parameters(model)}
    found = {"denoisers": 0.0, "backbone": 0.0}
    for p in model.parameters():
        if p.grad is not None:
            found["denoisers" if id(p) in own else "backbone"] += float(p.grad.abs().sum())
    return found


def test_baseline_is_the_label_loss():
    loss = loss_of(make(BASELINE), BASELINE)
    assert set(loss.parts) == {"id", "triplet"}
    torch.testing.assert_close(loss.total, loss.parts["id"] + loss.parts["triplet"])


def test_label_free_is_the_denoising_loss_and_trains_denoisers_only():
    model = make(LABEL_FREE)
    loss = loss_of(model, LABEL_FREE)
    assert set(loss.parts) == {"denoise"}
    loss.total.backward()
    found = gradients(model)
    assert found["denoisers"] > 0
    assert found["backbone"] == 0


def test_denoiser_phase_is_equation_12():
    loss = loss_of(make(DENOISERS), DENOISERS)
    label = loss.parts["id"] + loss.parts["triplet"]
    torch.testing.assert_close(loss.total, 0.75 * label + 0.25 * loss.parts["denoise"])


def test_labels_reach_the_denoisers():
    model = make(DENOISERS)
    loss_of(model, DENOISERS, weight=0.0).total.backward()
    found = gradients(model)
    assert found["denoisers"] > 0
    assert found["backbone"] == 0


def test_backbone_phase_goes_through_the_denoised_layers_and_trains_the_backbone_only():
    model = make(BACKBONE)
    loss = loss_of(model, BACKBONE)
    torch.testing.assert_close(loss.total, 0.75 * (loss.parts["id"] + loss.parts["triplet"]))
    loss.total.backward()
    found = gradients(model)
    assert found["denoisers"] == 0
    assert found["backbone"] > 0
    for p in denoiser_parameters(model):
        p.data.zero_()
    assert loss_of(model, BACKBONE).total.item() != pytest.approx(loss.total.item(), abs=1e-7)

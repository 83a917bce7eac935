import pytest
import torch
from denoisers import randomise_denoisers

from reid.data import Batch
from reid.denoise import attach_denoisers, collect_denoise_loss, denoiser_parameters
from reid.engine.phases import BACKBONE, BASELINE, DENOISERS, LABEL_FREE, Freezer
from reid.engine.steps import DenoiseWeight, LabelLoss, TextTarget, compute_loss
from reid.losses import IdentityTripletLoss, batch_hard_triplet
from reid.models import JigsawSpec, ModelSpec, ReIDModel, SideSpec

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 1, 1])
NONE = torch.full((4,), -1)
BATCH = Batch(IMAGES, LABELS, torch.tensor([4, 7, 4, 7]), torch.arange(4), NONE)


def make(phase):
    torch.manual_seed(0)
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), 2))
    if phase is not BASELINE:
        model = randomise_denoisers(attach_denoisers(model, "mlp"))
    Freezer(model).enter(phase)
    return model


def loss_of(model, phase, weight=0.25):
    torch.manual_seed(1)
    return compute_loss(model, BATCH, phase, LabelLoss(IdentityTripletLoss()), DenoiseWeight("l2", weight))


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


@pytest.mark.parametrize("phase", [LABEL_FREE, DENOISERS], ids=lambda phase: phase.name)
def test_the_loss_is_computed_on_a_share_of_the_positions(phase):
    model, found = make(phase), []
    for share in (1.0, 0.5, 0.5):
        torch.manual_seed(1)
        label_loss, denoise = LabelLoss(IdentityTripletLoss()), DenoiseWeight("l2", 0.25, share)
        found.append(compute_loss(model, BATCH, phase, label_loss, denoise).parts["denoise"].item())
    torch.manual_seed(1)
    with collect_denoise_loss(model, "l2", share=0.5) as losses, torch.no_grad():
        model.embed(IMAGES)
    assert found[1] == found[2] == pytest.approx(losses.total.item(), rel=1e-5)
    assert found[0] != found[1]


@pytest.mark.parametrize("phase", [LABEL_FREE, DENOISERS], ids=lambda phase: phase.name)
def test_a_generator_of_its_own_draws_all_of_the_noise(phase):
    model, found = make(phase), []
    for seed in (3, 3, 4):
        before = torch.get_rng_state()
        options = (LabelLoss(IdentityTripletLoss()), DenoiseWeight("l2", 0.25, 0.5))
        generator = torch.Generator().manual_seed(seed)
        found.append(compute_loss(model, BATCH, phase, *options, generator=generator).parts["denoise"].item())
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1] != found[2]


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


def baseline_loss(spec, text=None, dataset=""):
    torch.manual_seed(0)
    model = ReIDModel(spec)
    # Logits of a fresh classifier hardly differ.
    for classifier in (model.classifier, *model.part_classifiers):
        torch.nn.init.normal_(classifier.weight)
    label_loss = LabelLoss(IdentityTripletLoss(), text)
    return model, compute_loss(model, BATCH, BASELINE, label_loss, DenoiseWeight(), dataset)


def test_jigsaw_branches_weigh_half_the_whole_and_half_the_mean_of_the_parts():
    model, loss = baseline_loss(ModelSpec("vit_micro", (32, 32), 2, jigsaw=JigsawSpec()))
    whole, *parts = model(IMAGES).branches
    for part, compute in (
        ("id", lambda out: torch.nn.functional.cross_entropy(out.logits, LABELS)),
        ("triplet", lambda out: batch_hard_triplet(out.feat, LABELS)),
    ):
        expected = 0.5 * compute(whole) + 0.5 * sum(map(compute, parts)) / 4
        torch.testing.assert_close(loss.parts[part], expected)


def test_clip_sums_two_identity_and_three_triplet_losses_and_draws_images_to_texts():
    torch.manual_seed(2)
    texts = torch.randn(2, 64)
    model, loss = baseline_loss(ModelSpec("clip_vit_micro", (32, 32), 2), TextTarget(texts, 0.5))
    outputs = model(IMAGES).branches
    cross_entropy = torch.nn.functional.cross_entropy
    expected = sum(cross_entropy(out.logits, LABELS) for out in outputs[:2])
    torch.testing.assert_close(loss.parts["id"], expected)
    triplets = sum(batch_hard_triplet(out.feat, LABELS) for out in outputs)
    torch.testing.assert_close(loss.parts["triplet"], triplets)
    to_texts = cross_entropy(outputs[1].feat @ texts.T, LABELS)
    torch.testing.assert_close(loss.parts["image_text"], to_texts)
    torch.testing.assert_close(loss.total, expected + triplets + 0.5 * to_texts)


@pytest.mark.parametrize(("dataset", "is_known"), [("mine", True), ("another", False)])
def test_cameras_are_given_only_where_the_table_is_of_them(dataset, is_known):
    spec = ModelSpec("vit_micro", (32, 32), 2, side=SideSpec((4, 7), (), 3.0, "mine"))
    model, loss = baseline_loss(spec, dataset=dataset)
    loss.total.backward()
    first, second = model.backbone.side.embed.grad
    # The mean gives both cameras the same gradient.
    assert torch.allclose(first, second) is not is_known

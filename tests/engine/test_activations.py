"""Blocks that are computed again in the backward pass train to the same bits, in less memory."""

import copy

import pytest
import torch
from denoisers import randomise_denoisers
from torch import nn

from reid.data import Batch
from reid.denoise import attach_denoisers
from reid.engine.activations import recompute_blocks
from reid.engine.phases import BACKBONE, BASELINE, DENOISERS, JOINT, LABEL_FREE, Freezer
from reid.engine.steps import DenoiseWeight, LabelLoss, compute_loss
from reid.losses import IdentityTripletLoss
from reid.models import JigsawSpec, ModelSpec, ReIDModel
from reid.models.backbones import blocks_of


class Block(nn.Module):
    """Two inputs, one of them by name, random numbers and a norm; counts how often it is computed."""

    def __init__(self, momentum=0.1):
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3, momentum=momentum)
        self.drop, self.count = nn.Dropout(0.5), 0

    def forward(self, x, factor=None, *, shift=0.0):
        self.count += 1
        y = self.drop(self.norm(self.linear(x)).relu())
        return y + shift if factor is None else factor * y.tanh() + shift


def make_block(**options):
    torch.manual_seed(0)
    return Block(**options)


def bits(model):
    """Weights, buffers and gradients, to be compared bit by bit."""
    grads = {f"{name}.grad": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**model.state_dict(), **grads}


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())


def both_ways(make, use):
    """``use`` of what ``make`` gives, without and with its blocks computed again: bits and how often."""
    found = []
    for is_recomputed in (False, True):
        block = make()
        torch.manual_seed(1)
        with recompute_blocks([block] if is_recomputed else []):
            extra = use(block)
        found.append((bits(block) | extra, block.count))
    (expected, once), (again, twice) = found
    assert_same_bits(again, expected)
    return once, twice


X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_statistics_count_a_batch_once(momentum):
    def use(block):
        block(X).square().sum().backward()
        assert block.norm.num_batches_tracked == 1
        return {}

    assert both_ways(lambda: make_block(momentum=momentum), use) == (1, 2)


def test_a_block_that_runs_several_times_drops_and_counts_as_often():
    def use(block):
        block(block(X) + block(2 * X)).square().sum().backward()
        return {}

    assert both_ways(make_block, use) == (3, 6)


def test_inputs_by_name_and_several_of_them_get_their_gradients():
    def use(block):
        inputs = {name: X.clone().requires_grad_() for name in ("x", "factor", "shift")}
        block(inputs["x"], factor=inputs["factor"], shift=inputs["shift"]).sum().backward()
        return {name: value.grad for name, value in inputs.items()}

    assert both_ways(make_block, use) == (1, 2)


def test_an_input_by_name_that_is_changed_before_the_backward_pass_is_noticed():
    block, factor = make_block(), X.clone()
    with recompute_blocks([block]):
        total = block(X, factor=factor).sum()
        factor.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            total.backward()


def test_a_second_backward_pass_computes_the_block_once_more():
    def use(block):
        total = block(X).square().sum()
        for _ in range(2):
            total.backward(retain_graph=True)
        return {}

    assert both_ways(make_block, use) == (1, 3)


def test_the_backward_pass_may_come_after_the_with_block():
    expected, block = make_block(), make_block()
    for one, blocks in ((expected, []), (block, [block])):
        torch.manual_seed(1)
        with recompute_blocks(blocks):
            total = one(X).square().sum()
        total.backward()
    assert_same_bits(bits(block), bits(expected))


def test_a_call_without_a_graph_is_left_as_it_is():
    block = make_block()
    saved = []

    def keep(value):
        saved.append(value)
        return value

    with recompute_blocks([block]), torch.autograd.graph.saved_tensors_hooks(keep, keep):
        with torch.no_grad():
            block(X)
        block.requires_grad_(False)(X)
        assert saved == []
        block(X.clone().requires_grad_()).sum().backward()
    assert block.count == 4


def test_the_model_is_as_it_was_afterwards_also_after_an_error():
    block, other = make_block(), make_block()
    other.forward = own = other.forward
    for wrong in (False, True):
        try:
            with recompute_blocks([block, other, other]):
                assert "forward" in vars(block)
                assert other.forward is not own
                block(X[:, :2] if wrong else X)
        except RuntimeError:
            assert wrong
        assert "forward" not in vars(block)
        assert other.forward is own


def test_a_copy_made_afterwards_is_a_block_of_its_own():
    block = make_block()
    with recompute_blocks([block]):
        keys = list(block.state_dict())
    twin = copy.deepcopy(block)
    twin(X)
    assert (block.count, twin.count) == (0, 1)
    assert list(twin.state_dict()) == keys


SIZE = (32, 32)
IMAGES = torch.randn(4, 3, *SIZE, generator=torch.Generator().manual_seed(0))
NONE = torch.full((4,), -1)
BATCH = Batch(IMAGES, torch.tensor([0, 0, 1, 1]), NONE, torch.arange(4), NONE)
PHASES = (BASELINE, LABEL_FREE, DENOISERS, BACKBONE, JOINT)


def make_model(phase, name, **options):
    torch.manual_seed(0)
    model = ReIDModel(ModelSpec(name, SIZE, 2, **options))
    if phase is not BASELINE:
        targets = "mlp" if name.startswith(("vit", "clip_vit", "swin")) else "conv"
        model = randomise_denoisers(attach_denoisers(model, targets))
    Freezer(model).enter(phase)
    return model


class Kept(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that a graph keeps beside ``model``, each memory once."""

    def __init__(self, model):
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.found = {}

        def pack(value):
            storage = value.untyped_storage()
            if storage.data_ptr() not in own:
                self.found[storage.data_ptr()] = storage  # held, so that its place is nobody else's
            return value

        super().__init__(pack, lambda value: value)

    def count(self):
        return sum(storage.nbytes() for storage in self.found.values())


def train(model, phase, is_recomputed):
    """Two batches whose gradients are added up: all bits and losses, and what the first graph kept."""
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(2)
    options = (phase, LabelLoss(IdentityTripletLoss()), DenoiseWeight("l1+l2", 0.25, 0.5))
    losses, kept = {}, []
    for place in range(2):
        with recompute_blocks(blocks_of(model.backbone) if is_recomputed else []):
            counter = Kept(model)
            with counter:
                loss = compute_loss(model, BATCH, *options, generator=generator)
            kept.append(counter.count())
            loss.total.backward()
        losses[f"loss {place}"] = loss.total.detach()
    losses["next random number"] = torch.rand(1)
    return bits(model) | losses, kept[0]


NETWORKS = {
    "vit_micro": ("vit_micro", {"drop_path": 0.5}),
    "jigsaw": ("vit_micro", {"drop_path": 0.5, "jigsaw": JigsawSpec()}),
    "clip_vit_micro": ("clip_vit_micro", {"drop_path": 0.5}),
    "clip_resnet14": ("clip_resnet14", {}),
    "resnet10": ("resnet10", {}),
    "osnet_ain_x0_25": ("osnet_ain_x0_25", {}),
    # Large, and of no other kind in the other phases.
    "osnet_ibn_x1_0": ("osnet_ibn_x1_0", {}),
    "swin_tiny": ("swin_tiny", {"drop_path": 0.5}),
    "swinv2_tiny": ("swinv2_tiny", {"drop_path": 0.5}),
    "resnet50_ibn_nl": ("resnet50_ibn_nl", {}),
}
LARGE = list(NETWORKS)[-4:]
QUICK = {("vit_micro", phase) for phase in PHASES} | {("resnet10", JOINT)}
CASES = [
    pytest.param(
        *(*NETWORKS[name], phase),
        id=f"{name}-{phase.name}",
        marks=[] if (name, phase) in QUICK else pytest.mark.slow,
    )
    for name in NETWORKS
    for phase in ([JOINT] if name in LARGE else PHASES)
]


@pytest.mark.parametrize(("name", "options", "phase"), CASES)
def test_every_phase_of_every_family_has_the_same_bits_in_less_memory(name, options, phase):
    expected, all_kept = train(make_model(phase, name, **options), phase, is_recomputed=False)
    found, kept = train(make_model(phase, name, **options), phase, is_recomputed=True)
    assert_same_bits(found, expected)
    if phase is LABEL_FREE:
        assert kept == all_kept
    else:
        assert kept < 0.7 * all_kept


def test_a_vision_transformer_keeps_little_more_than_the_inputs_of_its_blocks():
    """By hand: four inputs of 4 images x 17 tokens x 128 channels x 4 bytes, beside them stem and head."""
    inputs = 4 * 4 * 17 * 128 * 4
    (_, all_kept), (_, kept) = (train(make_model(BASELINE, "vit_micro"), BASELINE, r) for r in (False, True))
    assert inputs < kept < 2.5 * inputs
    assert all_kept > 10 * inputs

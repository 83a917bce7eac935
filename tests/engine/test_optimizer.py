import pytest
import torch
from torch import nn

from reid.engine.optimizer import OptimizerSpec, create_optimizer

SPEC = OptimizerSpec("SGD", 0.1, weight_decay=0.01, bias_lr_factor=2.0, bias_weight_decay=0.5)


def rates_and_decays(spec, names):
    """Of a parameter of each name."""
    parameters = {name: nn.Parameter(torch.zeros(1)) for name in names}
    groups = create_optimizer(spec, parameters.items()).param_groups
    assert all(group["peak_lr"] == group["lr"] for group in groups)
    found = {id(p): (group["peak_lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    return [found[id(p)] for p in parameters.values()]


def test_biases_have_their_own_rate_and_decay():
    layer = nn.Sequential(nn.Linear(2, 2))
    weight, bias = create_optimizer(SPEC, layer.named_parameters()).param_groups
    assert weight["params"] == [layer[0].weight]
    assert bias["params"] == [layer[0].bias]
    assert (weight["peak_lr"], weight["weight_decay"]) == (0.1, 0.01)
    assert (bias["peak_lr"], bias["weight_decay"]) == (0.2, 0.5)


@pytest.mark.parametrize(
    "name", ["blocks.0.attn.qkv.bias", "relative_position_bias_table", "attn.in_proj_bias"]
)
def test_a_name_that_contains_bias_is_a_bias(name):
    assert rates_and_decays(SPEC, [name]) == [(0.2, 0.5)]


@pytest.mark.parametrize("name", ["pos_embed", "cls_token", "side.embed", "norm.weight", "classifier.weight"])
def test_everything_else_is_stepped_and_decays_alike(name):
    assert rates_and_decays(SPEC, [name]) == [(0.1, 0.01)]


def test_classifiers_have_twice_the_rate_where_that_is_asked_for():
    """Their biases too, as in TransReID; decays are not touched."""
    spec = OptimizerSpec("SGD", 0.1, 0.01, 3.0, 0.5, large_classifier_lr=True)
    names = ["norm.weight", "norm.bias", "classifier.weight", "part_classifiers.0.weight", "classifier.bias"]
    expected = [(0.1, 0.01), (0.3, 0.5), (0.2, 0.01), (0.2, 0.01), (0.2, 0.5)]
    for found, wanted in zip(rates_and_decays(spec, names), expected, strict=True):
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("name", "kind"), [("SGD", torch.optim.SGD), ("Adam", torch.optim.Adam), ("AdamW", torch.optim.AdamW)]
)
def test_the_name_chooses_the_optimizer(name, kind):
    assert type(create_optimizer(OptimizerSpec(name, 0.1), nn.Linear(2, 2).named_parameters())) is kind


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="must be SGD, Adam or AdamW, got 'Lion'"):
        create_optimizer(OptimizerSpec("Lion", 0.1), nn.Linear(2, 2).named_parameters())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SGD", 1 - 0.1 * 0.5),  # the gradient is the decay: 0.5 w
        ("Adam", 1 - 0.1),  # the decay is the gradient, and a first step of Adam is its sign
        ("AdamW", 1 - 0.1 * 0.5),  # the decay is beside it, and there is no gradient
    ],
)
def test_decay_of_a_weight_of_one_without_a_gradient(name, expected):
    weight = nn.Parameter(torch.ones(1))
    optimizer = create_optimizer(OptimizerSpec(name, 0.1, weight_decay=0.5), [("weight", weight)])
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.item() == pytest.approx(expected, rel=1e-6)


def test_momentum_is_sgds():
    weight = nn.Parameter(torch.ones(1))
    optimizer = create_optimizer(OptimizerSpec("SGD", 1.0, momentum=0.5), [("weight", weight)])
    weight.grad = torch.ones(1)
    optimizer.step()
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 1 - 1.5)


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        create_optimizer(SPEC, [])

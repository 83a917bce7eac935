import pytest
import torch
from torch import nn

from reid.engine.optimizer import OptimizerSpec, create_optimizer

SPEC = OptimizerSpec("SGD", 0.1, weight_decay=0.01, bias_lr_factor=2.0, bias_weight_decay=0.5)


def test_biases_have_their_own_rate_and_decay():
    layer = nn.Sequential(nn.Linear(2, 2))
    weight, bias = create_optimizer(SPEC, layer.named_parameters()).param_groups
    assert weight["params"] == [layer[0].weight]
    assert bias["params"] == [layer[0].bias]
    assert (weight["peak_lr"], weight["weight_decay"]) == (0.1, 0.01)
    assert (bias["peak_lr"], bias["weight_decay"]) == (0.2, 0.5)


def test_the_name_chooses_the_optimizer():
    parameters = list(nn.Linear(2, 2).named_parameters())
    assert isinstance(create_optimizer(SPEC, parameters), torch.optim.SGD)
    assert isinstance(create_optimizer(OptimizerSpec("AdamW", 0.1), parameters), torch.optim.AdamW)
    with pytest.raises(ValueError, match="must be SGD or AdamW, got 'Lion'"):
        create_optimizer(OptimizerSpec("Lion", 0.1), parameters)


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        create_optimizer(SPEC, [])

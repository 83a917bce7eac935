"""BNNeck: a BatchNorm whose shift is fixed."""

import torch

from reid.models import BNNeck


def test_training_normalises_each_feature_by_hand():
    neck = BNNeck(2)
    out = neck(torch.tensor([[1.0, 10.0], [3.0, 30.0]]))
    torch.testing.assert_close(out, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), atol=1e-4, rtol=0)


def test_the_shift_is_zero_and_stays_zero_under_training():
    neck = BNNeck(3)
    assert not neck.bias.requires_grad
    optimizer = torch.optim.SGD(neck.parameters(), lr=1.0, weight_decay=0.1)
    neck(torch.randn(8, 3)).pow(3).sum().backward()
    optimizer.step()
    assert neck.bias.grad is None
    assert torch.equal(neck.bias, torch.zeros(3))
    assert not torch.equal(neck.weight, torch.ones(3))


def test_the_shift_is_still_in_the_state_dict():
    assert "bias" in BNNeck(3).state_dict()

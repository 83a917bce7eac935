import pytest
import torch
from torch import nn

from reid.adaptation import has_batchnorm, reestimate_batchnorm
from reid.utils import InputError


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.9)).eval()


def test_statistics_are_the_averages_over_the_batches():
    model, batches = network(), [torch.randn(5, 3, 2, 2) * 3 + 1 for _ in range(3)]
    adapted = reestimate_batchnorm(model, batches)
    values = torch.stack([model[0](batch).transpose(0, 1).flatten(1) for batch in batches])  # (3, 4, 20)
    torch.testing.assert_close(adapted[1].running_mean, values.mean(2).mean(0))
    torch.testing.assert_close(adapted[1].running_var, values.var(2).mean(0))


def test_only_statistics_change_and_only_in_the_copy():
    model = network()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    adapted = reestimate_batchnorm(model, [torch.randn(4, 3, 2, 2)])
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())
    changed = {key for key, value in adapted.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert adapted[1].momentum == 0.1
    assert not any(module.training for module in adapted.modules())


def test_a_training_model_comes_back_training():
    assert reestimate_batchnorm(network().train(), [torch.randn(4, 3, 2, 2)])[1].training


def test_own_images_give_back_a_trained_models_statistics():
    """As many batches as it took to converge change little: nothing is lost in-domain."""
    model, images = network().train(), [torch.randn(64, 3, 2, 2) for _ in range(60)]
    with torch.no_grad():
        for batch in images:
            model(batch)
    model.eval()
    adapted = reestimate_batchnorm(model, images)
    torch.testing.assert_close(adapted[1].running_mean, model[1].running_mean, atol=0.1, rtol=0)


def test_refusals():
    assert not has_batchnorm(nn.Linear(2, 2))
    with pytest.raises(InputError, match="no BatchNorm"):
        reestimate_batchnorm(nn.Linear(2, 2), [torch.ones(2, 2)])
    with pytest.raises(InputError, match="at least two images, got none"):
        reestimate_batchnorm(network(), [torch.ones(1, 3, 2, 2)])

import pytest
import torch
from denoisers import randomise_denoisers
from torch import nn

from reid.denoise import DenoisedFeature, NoiseSchedule


def test_the_output_is_the_denoised_feature():
    network = nn.Linear(3, 4)
    model = randomise_denoisers(DenoisedFeature(network, 4, steps=3, schedule=NoiseSchedule(10)))
    images = torch.randn(2, 3)
    assert model.denoiser.timesteps == (3, 2, 1)
    assert torch.equal(model(images), model.denoiser(network(images)))
    assert not torch.allclose(model(images), network(images), atol=1e-4)


def test_more_steps_than_the_schedule_has_are_refused():
    with pytest.raises(ValueError, match=r"t must be in 1\.\.10, got 11"):
        DenoisedFeature(nn.Linear(3, 4), 4, steps=11, schedule=NoiseSchedule(10))

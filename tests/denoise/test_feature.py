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
    with pytest.raises(ValueError, match="1 layer of 11 steps need 11 timesteps, the schedule has 10"):
        DenoisedFeature(nn.Linear(3, 4), 4, steps=11, schedule=NoiseSchedule(10))


@pytest.mark.parametrize(("t_rule", "timesteps"), [("spread", (10, 9)), ("7", (7, 6)), (2, (2, 1))])
def test_its_steps_begin_by_rule_and_a_part_of_them_is_applied(t_rule, timesteps):
    network = nn.Linear(3, 4).double()
    schedule = NoiseSchedule(10, 0.01, 0.2)
    model, whole = (
        randomise_denoisers(DenoisedFeature(network, 4, 2, schedule, t_rule, strength).double())
        for strength in (0.25, 1.0)
    )
    images = torch.randn(2, 3, dtype=torch.float64)
    assert model.denoiser.timesteps == timesteps
    torch.testing.assert_close(model(images), 0.75 * network(images) + 0.25 * whole(images))

import pytest
import torch
from denoisers import randomise_denoisers
from torch import nn

from reid.denoise import attach_denoisers, denoisers_by_layer, randomize_denoisers


def make():
    return attach_denoisers(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), r"\d")


def test_every_part_has_the_norm_of_the_trained_one_and_another_direction():
    start, trained = make(), randomise_denoisers(make(), 3.0)
    found = denoisers_by_layer(randomize_denoisers(start, trained, seed=5))
    for name, denoiser in denoisers_by_layer(trained).items():
        for ours, theirs in zip(found[name].parameters(), denoiser.parameters(), strict=True):
            assert float(ours.norm()) == pytest.approx(float(theirs.norm()))
            assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) < 0.95
    assert all(float(p.abs().sum()) == 0 for d in denoisers_by_layer(start).values() for p in d.parameters())


def test_the_seed_decides():
    trained = randomise_denoisers(make())
    a, b, c = (randomize_denoisers(make(), trained, seed)[0].denoiser.weight for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_what_was_never_trained_stays_zero():
    found = denoisers_by_layer(randomize_denoisers(make(), make(), 0))
    assert all(float(p.abs().sum()) == 0 for d in found.values() for p in d.parameters())


def test_denoisers_of_other_layers_or_sizes_are_refused():
    with pytest.raises(ValueError, match="same layers, only one denoises 2"):
        randomize_denoisers(make(), attach_denoisers(nn.Sequential(nn.Linear(3, 4)), "0"), 0)
    other = attach_denoisers(nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2)), r"\d")
    with pytest.raises(ValueError, match="weight of '0' must have one size"):
        randomize_denoisers(make(), other, 0)

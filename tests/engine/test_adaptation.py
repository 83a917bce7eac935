"""The words for what an adaptation did."""

import numpy as np
import pytest
from sites import site

from reid.adaptation import NoiseSettings, fit_noise
from reid.engine.adaptation import choice_lines


def last_line(features, camids, **settings):
    choice = fit_noise(features, camids, camids, NoiseSettings(**settings))
    return choice_lines(choice, "cameras", len(features), 2)[-1]


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        ({}, "chosen without labels: k = "),
        ({"k": 3}, "chosen without labels: k = 3, r = "),
        ({"k": 3, "shrinkage": 5.0, "means": "one"}, "taken as given: k = 3, r = 5, one mean"),
    ],
)
def test_what_is_chosen_is_told_from_what_was_given(settings, start):
    features, camids, _ = site(ids=100)
    assert last_line(features, camids, **settings).startswith(start)


@pytest.mark.parametrize("settings", [{}, {"k": 3, "shrinkage": 5.0, "means": "one"}])
def test_what_speaks_for_nothing_is_not_called_chosen(settings):
    """Pure noise: nothing leads back, and denoising is done because it was asked for."""
    features = np.random.default_rng(0).normal(size=(200, 24)).astype(np.float32)
    camids = np.arange(200) % 2
    asked = last_line(features, camids, noise="on", **settings)
    assert asked.startswith("taken because it was asked for: k = ")
    assert asked.endswith("no more ways lead back, by a standard error")
    assert "left alone" in last_line(features, camids, **settings)


def test_what_cannot_be_judged_is_told_as_that():
    features, camids, _ = site(ids=12)
    assert last_line(features, camids).startswith("taken unjudged: k = 2, r = 3, one mean; ")

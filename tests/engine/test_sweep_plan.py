"""Which settings a sweep measures: one at a time or combined, each once, and of layers that are there."""

from itertools import product

import pytest

from reid.engine.sweep_plan import USUAL, layers_of, named_sets, plan_points, plan_sweep, with_layers
from reid.models import DenoiseSpec, ModelSpec, ReIDModel
from reid.utils import InputError

VIT = ReIDModel(ModelSpec("vit_micro", (32, 32), 3)).eval()
RESNET = ReIDModel(ModelSpec("resnet10", (32, 32), 3)).eval()
LISTS = {"steps": [1, 2], "strength": [0.5, 1.0], "t_rule": ["depth", "7"]}


def test_one_at_a_time_around_the_own_setting_by_hand():
    own = DenoiseSpec(steps=4)
    found = plan_points(own, {"steps": [1, 4], "strength": [0.5, 1.0]})
    assert found == [own, DenoiseSpec(steps=1), DenoiseSpec(steps=4, strength=0.5)]


def test_a_list_of_one_value_holds_for_every_setting():
    found = plan_points(DenoiseSpec(), {"targets": [("all",)], "steps": [1, 2]})
    assert found == [DenoiseSpec(("all",)), DenoiseSpec(("all",), steps=2)]


def test_all_combinations_are_those_of_plain_loops():
    found = plan_points(DenoiseSpec(("attn",)), LISTS, combine=True)
    expected = [
        DenoiseSpec(("attn",), steps=steps, strength=strength, t_rule=rule)
        for steps, strength, rule in product(*LISTS.values())
    ]
    assert found == expected


def test_two_spellings_of_a_timestep_are_one_setting():
    assert plan_points(DenoiseSpec(), {"t_rule": ["7", "007"]}) == [DenoiseSpec(), DenoiseSpec(t_rule="7")]
    assert DenoiseSpec(t_rule="00005").t_rule == "5"


@pytest.mark.parametrize("combine", [False, True])
def test_no_setting_twice(combine):
    found = plan_points(
        DenoiseSpec(), {name: [*values, *values] for name, values in LISTS.items()}, combine=combine
    )
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"steps": [0, 1]}, "steps must be in"),
        ({"strength": [2.0]}, "strength must be in"),
        ({"beta_end": [1e-3, 5.0]}, "beta_end < 1"),
        ({"t_rule": ["deep", "1"]}, "t_rule must be"),
    ],
)
def test_a_value_outside_its_range_is_refused_before_anything_is_measured(lists, message):
    with pytest.raises(InputError, match=message):
        plan_points(DenoiseSpec(), lists)


def test_the_named_sets_are_those_that_the_network_has():
    assert list(named_sets(VIT)) == [("mlp",), ("attn",), ("conv",), ("all",)]
    # Its one linear layer is the classifier, so all of it is its convolutions.
    assert list(named_sets(RESNET)) == [("conv",)]
    assert named_sets(RESNET)[("conv",)] == layers_of(RESNET, ("all",))


def test_the_usual_settings_vary_everything():
    specs, layers = plan_sweep(VIT, DenoiseSpec(), {})
    assert 12 <= len(specs) <= 16
    assert specs[0] == DenoiseSpec()
    assert set(layers) == set(layers_of(VIT, ("all",)))
    for name, values in USUAL.items():
        assert {getattr(spec, name) for spec in specs} == set(values)
    assert {spec.targets for spec in specs} == set(named_sets(VIT))


def test_usual_sets_are_of_known_layers():
    known = layers_of(VIT, ("mlp",))
    specs, layers = plan_sweep(VIT, DenoiseSpec(), {}, known=known)
    assert {spec.targets for spec in specs} == {("mlp",)}
    assert set(layers) == set(known)


def test_where_the_own_layers_are_not_there_the_first_that_are_take_their_place():
    specs, _ = plan_sweep(RESNET, DenoiseSpec(("mlp",)), {})
    assert {spec.targets for spec in specs} == {("conv",)}
    listed = {"targets": [("attn",), ("conv",)], "steps": [1, 2]}
    specs, layers = plan_sweep(RESNET, DenoiseSpec(("mlp",)), listed)
    assert specs[0].targets == ("conv",)
    assert ("attn",) in {spec.targets for spec in specs}  # its row says what is wrong
    assert layers == list(layers_of(RESNET, ("conv",)))


def test_layers_that_nobody_listed_are_not_put_in_place_of_wrong_ones():
    with pytest.raises(InputError, match="no layer to denoise matches"):
        plan_sweep(RESNET, DenoiseSpec(("mlp",)), {"steps": [1, 2]})


def test_the_final_feature_has_no_layers():
    with pytest.raises(InputError, match="targets must be layers"):
        layers_of(VIT, ("feature",))
    assert with_layers(DenoiseSpec(("feature",)), VIT, [("attn",)]).targets == ("attn",)

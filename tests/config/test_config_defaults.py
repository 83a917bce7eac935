"""Facts about the defaults themselves: no key is dead, no boolean is text."""

import ast
from pathlib import Path

import pytest

from reid.config import get_default_config
from reid.config.checks import CHOICES, LISTS, RANGES, find_faults, leaves, value_at

ROOT = Path(__file__).resolve().parents[2]


DEFAULTS = dict(leaves(get_default_config()))


def attribute_chains(source):
    """Every dotted name in the source, such as cfg.SOLVER.SEED."""
    chains = set()
    for node in ast.walk(ast.parse(source)):
        words = []
        while isinstance(node, ast.Attribute):
            words.append(node.attr)
            node = node.value
        if words and isinstance(node, ast.Name):
            chains.add(".".join([node.id, *reversed(words)]))
    return chains


READ = set()
for folder in ("reid", "tools"):
    for file in sorted((ROOT / folder).rglob("*.py")):
        if ROOT / "reid" / "config" not in file.parents:
            READ |= attribute_chains(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("key", DEFAULTS)
def test_every_key_is_read_outside_the_config_package(key):
    assert f"cfg.{key}" in READ


def test_attribute_chains_finds_nested_reads_only_where_they_are():
    assert attribute_chains("f(cfg.A.B + x.y)") == {"cfg.A.B", "cfg.A", "x.y"}


@pytest.mark.parametrize("key", DEFAULTS)
def test_no_default_is_a_boolean_in_quotes(key):
    assert str(DEFAULTS[key]).lower() not in ("yes", "no", "on", "off") or isinstance(DEFAULTS[key], bool)
    assert DEFAULTS[key] not in ("true", "false", "True", "False")


def test_switches_are_real_booleans():
    switches = ["MODEL.IF_LABELSMOOTH", "MODEL.NO_MARGIN", "SOLVER.AMP", "DENOISE.RESCALE"]
    assert [type(DEFAULTS[key]) for key in [*switches, "DATASETS.MSMT_USE_VAL"]] == [bool] * 5


def test_the_defaults_break_no_rule():
    assert find_faults(get_default_config()) == []


@pytest.mark.parametrize("key", [*CHOICES, *RANGES])
def test_every_rule_is_about_a_key_that_exists(key):
    assert key in DEFAULTS
    assert value_at(get_default_config(), key) == DEFAULTS[key]


def test_every_number_has_a_range_or_choices():
    entries = {key: value if isinstance(value, list) else [value] for key, value in DEFAULTS.items()}
    numbers = {key for key, values in entries.items() if type(values[0]) in (int, float)}
    assert numbers <= {*CHOICES, *RANGES}
    assert {key for key in numbers if isinstance(DEFAULTS[key], list)} == set(LISTS)


def test_changing_one_copy_of_the_defaults_changes_no_other():
    first, second = get_default_config(), get_default_config()
    first.SOLVER.SEED = 7
    first.INPUT.SIZE_TRAIN.append(3)
    assert second.SOLVER.SEED == 1234
    assert second.INPUT.SIZE_TRAIN == get_default_config().INPUT.SIZE_TRAIN == [256, 128]

"""Every file in configs/ loads, says what it is for, and repeats no default."""

from pathlib import Path

import pytest
import yaml

from reid.config import get_default_config, load_config
from reid.config.checks import value_at

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = sorted(CONFIGS.rglob("*.yml"))
# A recipe may state these for clarity.
STATED = {"OUTPUT_DIR", "DATASETS.NAMES", "MODEL.NAME"}

each_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def stated_in(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from stated_in(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_there_are_at_least_eight_recipes():
    assert len(RECIPES) >= 8


@each_recipe
def test_every_recipe_loads_with_what_it_states(path):
    cfg = load_config(path)
    for key, value in stated_in(yaml.safe_load(path.read_text(encoding="utf-8"))):
        assert value_at(cfg, key) in (value, [value])


@each_recipe
def test_every_recipe_begins_with_its_aim_command_expectation_and_cost(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for line, word in zip(lines, ("Aim", "Command", "Expected", "Cost"), strict=False):
        assert line.startswith(f"# {word}: ")
        assert len(line) > len(f"# {word}: ")
    assert not lines[4].startswith("#")


@each_recipe
def test_the_command_of_a_recipe_names_the_recipe(path):
    assert f"--config {path.name}" in path.read_text(encoding="utf-8").splitlines()[1]


@each_recipe
def test_no_recipe_states_a_default_again(path):
    defaults = get_default_config()
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    again = [key for key, value in stated_in(tree) if value_at(defaults, key) == value]
    assert set(again) <= STATED


def test_no_two_recipes_write_to_one_folder():
    folders = [load_config(path).OUTPUT_DIR for path in RECIPES]
    assert len(set(folders)) == len(folders)

"""Defaults, then a YAML file, then KEY VALUE words: one frozen configuration."""

import ast
import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

import reid
from reid.config.checks import NUMBERS_OR_WORDS, find_faults, leaves, show
from reid.config.defaults import get_default_config
from reid.utils import InputError


class ConfigError(InputError):
    """A configuration that cannot be used; the message lists every fault."""


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> CfgNode:
    """Merge the defaults, a YAML file and overrides, check the result and freeze it.

    Args:
        path: A YAML file; a bare name is also looked up in ``configs/``. None uses the defaults.
        overrides: KEY VALUE words in turn, e.g. ``["SOLVER.BASE_LR", "1e-3"]``; values in Python's notation,
            anything else is text.

    Returns:
        A new frozen tree.

    Raises:
        ConfigError: Naming the file that is missing, or all keys and values that are wrong.
    """
    tree = _read_yaml(find_config(path)) if path is not None else {}
    return _merge(tree, overrides)


def config_from_text(text: str) -> CfgNode:
    """A frozen configuration from the YAML text that a run or a checkpoint keeps.

    Raises:
        ConfigError: If the text is no configuration of this version.
    """
    return _merge(_parse_yaml(text, "the text"), ())


def with_values(cfg: CfgNode, values: Mapping[str, Any]) -> CfgNode:
    """A frozen copy of a configuration in which some keys have other values.

    Args:
        cfg: Left as it is.
        values: By the whole name of a key, of the type that it has.
    """
    own = cfg.clone()
    own.defrost()
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        (own[group] if group else own)[name] = value
    own.freeze()
    return own


def _merge(tree: dict[str, Any], overrides: Sequence[str]) -> CfgNode:
    """The defaults under ``tree`` under ``overrides``, checked and frozen."""
    if len(overrides) % 2:
        given = " ".join(overrides)
        raise ConfigError(f"overrides must be KEY VALUE pairs, got {len(overrides)} words: {given}")
    cfg = get_default_config()
    words = zip(overrides[::2], map(parse_value, overrides[1::2]), strict=True)
    faults = [fault for key, value in [*_flatten(tree, cfg), *words] for fault in _set(cfg, key, value)]
    faults = faults or find_faults(cfg)
    if faults:
        raise ConfigError("; ".join(faults))
    cfg.freeze()
    return cfg


def find_config(path: str | Path) -> Path:
    """The file that ``path`` means: itself, or a file of that name in ``configs/`` here or beside the code.

    Raises:
        ConfigError: If there is none; the nearest known names are listed.
    """
    given = Path(path)
    folders = [Path("configs"), Path(reid.__file__).parent.parent / "configs"]
    names = [given] if given.suffix or not given.name else [given, given.with_name(given.name + ".yml")]
    for name in names:
        for candidate in [name, *(folder / name for folder in folders)]:
            if candidate.is_file():
                return candidate
    known = sorted({file.name for folder in folders for file in folder.glob("*.yml")})
    near = difflib.get_close_matches(given.name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"no configuration file {path}; {hint}configs/ holds {', '.join(known) or 'none'}")


def parse_value(text: str) -> Any:
    """A word of the command line as a value: Python's notation, yaml's true and false, otherwise text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (
        ValueError,
        SyntaxError,
        TypeError,
        MemoryError,
        RecursionError,
    ):  # the last two: too many brackets
        return text


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no YAML: {error}") from error
    return _parse_yaml(text, str(path))


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for more values than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse ``*name``."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1}: aliases are not read here")
        return super().compose_node(parent, index)


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _Loader)
    # Beside its own error the parser lets through those of dates, digits and tags, and of too deep a nesting.
    except (yaml.YAMLError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise ConfigError(f"{source} is no YAML: {' '.join(str(error).split())}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{source} must hold KEY: value lines, got {type(tree).__name__}")
    return tree


def _flatten(tree: dict[str, Any], node: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; a group is entered only where the defaults have a group."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        child = node.get(name)
        if isinstance(child, CfgNode) and isinstance(value, dict):
            yield from _flatten(value, child, f"{key}.")
        else:
            yield key, value


def _set(cfg: CfgNode, key: str, value: Any) -> list[str]:
    """Set one key; return the fault as a list where it cannot be set."""
    parent, _, name = key.rpartition(".")
    node: Any = cfg
    for part in parent.split(".") if parent else []:
        node = node.get(part) if isinstance(node, CfgNode) else None
    if not isinstance(node, CfgNode) or name not in node:
        near = difflib.get_close_matches(key.upper(), [key for key, _ in leaves(cfg)], n=1, cutoff=0.5)
        return [f"unknown key {key}" + (f", did you mean {near[0]}?" if near else "")]
    old = node[name]
    if isinstance(old, CfgNode):
        return [f"{key} is a group of keys ({', '.join(old)}), not a value"]
    is_word = key in NUMBERS_OR_WORDS and type(value) is int
    converted = show(value) if is_word else _convert(value, old)
    if type(converted) is not type(old):
        wanted, got = type(old).__name__, type(value).__name__
        return [f"{key} must be a {wanted} such as {old!r}, got {show(value)} ({got})"]
    node[name] = converted
    return []


def _convert(value: Any, old: Any) -> Any:
    """Allow what is meant without doubt: an int or YAML's 1e-4 (text) for a float, a tuple or one name."""
    if isinstance(old, float) and type(value) in (int, str):
        try:
            return float(value)
        except ValueError:
            return value
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(old, list) and isinstance(value, tuple):
        return list(value)
    if isinstance(old, list) and isinstance(value, str) and old and isinstance(old[0], str):
        return [value]
    return value

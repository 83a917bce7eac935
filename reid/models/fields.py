"""Read a dataclass back from JSON, every field by its annotation, naming the first that does not fit."""

import reprlib
import sys
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

PLAIN = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text"}


def read_fields(kind: type[T], tree: Any, place: str = "") -> T:
    """Build ``kind`` from a JSON object; a field that the object lacks takes its default.

    Args:
        kind: A dataclass whose fields are bool, int, float, str, literals, tuples of these (lists in JSON),
            dictionaries with text as keys, other such dataclasses, or one of these or None.
        tree: What ``json.loads`` gave.
        place: What messages call ``tree``, e.g. ``model``.

    Raises:
        ValueError: Naming the field, what must hold and what came; also where ``kind`` itself refuses a
            value, whose message must begin with the field's name.

    Example:
        >>> from dataclasses import make_dataclass
        >>> read_fields(make_dataclass("Size", [("sides", tuple[int, int])]), {"sides": [256, 128]})
        Size(sides=(256, 128))
    """
    if not isinstance(tree, dict):
        raise ValueError(_wrong(place or "it", "an object with named fields", tree))
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    inside = f"{place}." if place else ""
    for name in tree:
        if name not in known:
            raise ValueError(f"{inside}{name} is a field that this version does not know")
    hints, values = get_type_hints(kind), {}
    for name, field in known.items():
        if name in tree:
            values[name] = _read(hints[name], tree[name], inside + name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{inside}{name} is missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{inside}{error}") from error


def _read(hint: Any, value: Any, place: str) -> Any:
    args = get_args(hint)
    if type(None) in args:
        return None if value is None else _read(args[0], value, place)
    if is_dataclass(hint):
        return read_fields(hint, value, place)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        return _read_tuple(args, value, place)
    if get_origin(hint) is dict:
        if not isinstance(value, dict):
            raise ValueError(_wrong(place, "an object with named fields", value))
        return {key: _read(args[1], entry, f"{place}.{key}") for key, entry in value.items()}
    if get_origin(hint) is Literal:
        if value not in list(args):
            raise ValueError(_wrong(place, f"one of {', '.join(args)}", value))
        return value
    return _read_plain(hint, value, place)


def _read_tuple(kinds: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(_wrong(place, "a list", value))
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise ValueError(_wrong(place, f"a list of {len(kinds)}", value))
    return tuple(
        _read(kind, entry, f"{place}[{i}]") for i, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )


def _read_plain(kind: type, value: Any, place: str) -> Any:
    # A boolean is an int to Python, and a whole number is a fine float; but no float is a count.
    number = type(value) in (int, float) and abs(value) <= sys.float_info.max
    if not (number if kind is float else type(value) is kind):
        raise ValueError(_wrong(place, PLAIN[kind], value))
    return kind(value)


def _wrong(place: str, wanted: str, value: Any) -> str:
    return f"{place} must be {wanted}, got {reprlib.repr(value)}"

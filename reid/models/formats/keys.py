"""Questions to the names in a state dict."""

import re
from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]


def has_prefix(keys: Iterable[str], *prefixes: str) -> bool:
    """Whether a name starts with one of ``prefixes``."""
    return any(key.startswith(prefixes) for key in keys)


def has_match(keys: Iterable[str], pattern: str) -> bool:
    """Whether the regular expression ``pattern`` is found in a name."""
    return any(re.search(pattern, key) for key in keys)


def axis(shapes: Shapes, key: str, number: int) -> int:
    """Length of an axis of the tensor ``key``, counted from behind if negative.

    Raises:
        KeyError: If there is no such tensor.
        ValueError: If it has fewer axes.
    """
    shape, least = shapes[key], number + 1 if number >= 0 else -number
    if len(shape) < least:
        raise ValueError(f"{key} must have {least} axes or more, got the shape {shape}")
    return shape[number]


def printable(key: str) -> str:
    """``key`` with line breaks, and whatever else cannot be seen, escaped: a report has a line for itself."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)


def count_numbered(keys: Iterable[str], prefix: str, suffix: str = "") -> int:
    """How many different numbers stand between ``prefix`` and ``suffix``: the blocks of a stage."""
    pattern = re.compile(rf"{re.escape(prefix)}(\d+)\.{re.escape(suffix)}")
    return len({match[1] for match in map(pattern.match, keys) if match})

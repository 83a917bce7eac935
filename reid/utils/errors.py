"""The error that a user can mend, the wording of an unknown choice, and what damaged files raise."""

import difflib
import struct
from collections.abc import Iterable
from operator import index

# What readers of files raise for those that are cut short, damaged or of another kind.
UNREADABLE = (
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    OSError,
    struct.error,
)


class InputError(ValueError):
    """Something given to the toolkit is wrong: a path, a value, a file's content.

    The message is one line and says what must hold, what came and what to do. The command line prints
    it and exits with 2; every other exception is a fault of the toolkit and keeps its traceback.
    """


def unknown_choice(kind: str, given: str, known: Iterable[str]) -> str:
    """Word the refusal of an unknown name, with the nearest known one first.

    Args:
        kind: What is being chosen, e.g. ``"data set"``.
        given: The unknown name.
        known: Every allowed name.

    Example:
        >>> unknown_choice("data set", "markt1501", ["market1501", "msmt17"])
        "unknown data set 'markt1501': did you mean 'market1501'? choose one of market1501, msmt17"
    """
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1)
    hint = f" did you mean '{near[0]}'?" if near else ""
    return f"unknown {kind} '{given}':{hint} choose one of {', '.join(names)}"


def at_least_one(value: object, name: str) -> int:
    """A count as a whole number.

    Args:
        value: What was given for it; 2.0 and True are none.
        name: What the message calls it.

    Raises:
        InputError: If it is no whole number of at least 1.
    """
    try:
        number = 0 if isinstance(value, bool) else index(value)  # type: ignore[arg-type]  # what it refuses
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value}")
    return number

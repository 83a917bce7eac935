"""Many names of layers in few words."""

import re
from collections.abc import Iterable

NUMBER = re.compile(r"(?:(?<=\.)|^)(?:0|[1-9][0-9]{0,8})(?=\.|$)")


def group_names(names: Iterable[str]) -> list[str]:
    """Write names that differ only in numbers once, in the order in which they first come.

    The one number that differs is written as a range or a list; several are ``*``, with the count of names.

    Example:
        >>> group_names(["blocks.0.fc1", "blocks.1.fc1", "norm", "a.0.b.1", "a.1.b.0"])
        ['blocks.{0-1}.fc1', 'norm', 'a.*.b.* (2)']
    """
    groups: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
    for name in names:
        numbers = tuple(int(number) for number in NUMBER.findall(name))
        groups.setdefault(tuple(NUMBER.split(name)), []).append(numbers)
    return [_write(words, found) for words, found in groups.items()]


def _write(words: tuple[str, ...], found: list[tuple[int, ...]]) -> str:
    places = [sorted(set(numbers)) for numbers in zip(*found, strict=True)]
    varying = sum(len(numbers) > 1 for numbers in places)
    if varying > 1:
        return f"{_join(words, [str(n[0]) if len(n) == 1 else '*' for n in places])} ({len(found)})"
    return _join(words, [_range(numbers) for numbers in places])


def _join(words: tuple[str, ...], numbers: list[str]) -> str:
    """The words with a number between each two."""
    return "".join(word + number for word, number in zip(words, [*numbers, ""], strict=True))


def _range(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{{{numbers[0]}-{numbers[-1]}}}"
    return f"{{{','.join(map(str, numbers))}}}"

"""Dataclasses from JSON: every field by its annotation, the first fault by name."""

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

import pytest

from reid.models.fields import read_fields


@dataclass(frozen=True)
class Inner:
    count: int
    share: float = 0.5

    def __post_init__(self):
        if self.count < 0:
            raise ValueError(f"count must be at least 0, got {self.count}")


@dataclass(frozen=True)
class Outer:
    size: tuple[int, int]
    inner: Inner
    names: tuple[str, ...] = ()
    kind: Literal["a", "b"] = "a"
    on: bool = True
    deeper: "Outer | None" = None
    notes: dict[str, str] = field(default_factory=dict)


def outer(**changes):
    return {"size": [3, 4], "inner": {"count": 1}} | changes


def test_what_was_written_is_read_back_with_its_types():
    value = Outer((3, 4), Inner(1, 2.0), ("x", "y"), "b", False, Outer((1, 2), Inner(0)), {"k": "v"})
    again = read_fields(Outer, json.loads(json.dumps(asdict(value))))
    assert again == value
    assert type(again.size) is tuple


def test_absent_fields_take_their_defaults_and_whole_numbers_are_floats():
    read = read_fields(Outer, outer(inner={"count": 1, "share": 1}))
    assert read == Outer((3, 4), Inner(1, 1.0))
    assert type(read.inner.share) is float


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([1], "it must be an object with named fields, got [1]"),
        ({"size": [3, 4]}, "inner is missing"),
        (outer(colour=1), "colour is a field that this version does not know"),
        (outer(inner={"count": 1, "x": 1}), "inner.x is a field that this version does not know"),
        (outer(inner=None), "inner must be an object with named fields, got None"),
        (outer(inner={}), "inner.count is missing"),
        (outer(inner={"count": -1}), "inner.count must be at least 0, got -1"),
        (outer(inner={"count": True}), "inner.count must be a whole number, got True"),
        (outer(inner={"count": 1.0}), "inner.count must be a whole number, got 1.0"),
        (outer(inner={"count": 1, "share": float("nan")}), "inner.share must be a finite number, got nan"),
        (outer(inner={"count": 1, "share": 10**400}), "inner.share must be a finite number, got 1000"),
        (outer(inner={"count": 1, "share": "1"}), "inner.share must be a finite number, got '1'"),
        (outer(size=7), "size must be a list, got 7"),
        (outer(size=[1, 2, 3]), "size must be a list of 2, got [1, 2, 3]"),
        (outer(size=[1, None]), "size[1] must be a whole number, got None"),
        (outer(names=["x", 1]), "names[1] must be a text, got 1"),
        (outer(kind="c"), "kind must be one of a, b, got 'c'"),
        (outer(kind=[1]), "kind must be one of a, b, got [1]"),
        (outer(on=1), "on must be true or false, got 1"),
        (outer(deeper=outer(size=[1])), "deeper.size must be a list of 2, got [1]"),
        (outer(notes=[]), "notes must be an object with named fields, got []"),
        (outer(notes={"k": 1}), "notes.k must be a text, got 1"),
    ],
)
def test_the_first_fault_is_named_with_what_must_hold_and_what_came(tree, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared in full below
        read_fields(Outer, tree)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200

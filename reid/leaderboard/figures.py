"""Reads figures.json: the figures of the paper's re-identification tables, in percent as they are printed.

Of Table 3's rows with missing cells the text of the paper does not tell which column a number belongs to; of
MGN, RGA-SC, ISP and CDNet the assignment is ours, by those methods' own publications.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Line(NamedTuple):
    """A row as it is printed: mAP and R1 by data set, in percent; of a time seconds and its change."""

    key: str
    method: str
    backbone: str
    quotes: str  # whose publication the paper quotes; empty where the figures are the paper's own
    figures: Mapping[str, Mapping[str, float]]


def read_figures() -> dict[int, list[Line]]:
    """The lines of each table, by its number."""
    text = Path(__file__).with_name("figures.json").read_text(encoding="utf-8")
    return {int(number): [Line(*line) for line in lines] for number, lines in json.loads(text).items()}

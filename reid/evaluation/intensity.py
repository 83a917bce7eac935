"""A picture of a sweep: metrics and how far features turn over how far the weights were changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reid.evaluation.bootstrap import Interval
from reid.evaluation.pictures import COLOURS, GREY, LINE_HEIGHT, SMALL, save_png, wrap
from reid.utils import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches. The legend stands to the right of the panels.
WIDTH, PANEL, BETWEEN, HEAD, FOOT, LEFT, RIGHT = 9.5, 2.2, 0.2, 0.42, 0.55, 0.85, 1.75
SHAPES = ("o", "s", "^", "D", "v", "P")
# Changes that differ by more than this factor have a logarithmic axis.
STEEP = 8


class Mark(NamedTuple):
    """One setting of a sweep.

    Args:
        number: Its row of the table.
        group: What the legend calls it.
        change: Mean |W'-W|/|W|.
        mean_ap: Fraction.
        rank1: Fraction.
        turn: 1 - the cosine to the untouched features.
        gain: Of ``mean_ap`` over the untouched model's.
    """

    number: int
    group: str
    change: float
    mean_ap: float
    rank1: float
    turn: float
    gain: Interval


def draw_intensity(
    marks: Sequence[Mark], mean_ap: float, rank1: float, path: Path, title: str = "", note: str = ""
) -> None:
    """Draw mAP, Rank-1 and 1 - cosine, one above the other, over the change of the weights, into one PNG.

    The untouched model is a line. The bar of a mAP is the interval of its difference from that line, so a bar
    that misses the line is a difference that is sure. The numbers are those of the table's rows. On a
    logarithmic axis settings that change nothing have no place: they lie on the line.

    Args:
        marks: The settings.
        mean_ap: Of the untouched model, a fraction.
        rank1: Likewise.
        path: The PNG to write.
        title: What stands above the panels.
        note: What stands below the title in small print, such as the protocol.

    Raises:
        InputError: If there is no setting.
    """
    from matplotlib.figure import Figure

    if not marks:
        raise InputError("a picture of a sweep needs at least one setting that was measured, got none")
    small = wrap(note, WIDTH - LEFT)
    head = HEAD + LINE_HEIGHT * (small.count("\n") + 1)
    figure = Figure(figsize=(WIDTH, head + 3 * (PANEL + BETWEEN) + FOOT))
    panels = [_add_panel(figure, head + place * (PANEL + BETWEEN)) for place in range(3)]
    changes = [mark.change for mark in marks if mark.change > 0]
    is_wide = bool(changes) and max(changes) > STEEP * min(changes)
    drawn = [mark for mark in marks if mark.change > 0 or not is_wide]
    _draw_metric(panels[0], "mAP", drawn, [mark.mean_ap for mark in drawn], mean_ap)
    _add_bars(panels[0], drawn, mean_ap)
    _draw_metric(panels[1], "Rank-1", drawn, [mark.rank1 for mark in drawn], rank1)
    _draw_marks(panels[2], drawn, [mark.turn for mark in drawn], 0.0)
    panels[2].set_ylabel("1 - cosine to untouched")
    panels[2].yaxis.set_major_formatter("{x:g}")
    panels[2].set_xlabel("mean weight change |W'-W|/|W|")
    for axes in panels:
        if is_wide:
            _make_logarithmic(axes)
        axes.tick_params(labelbottom=axes is panels[2])
    panels[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), fontsize=8, frameon=False)
    left, height = LEFT / WIDTH, figure.get_figheight()
    figure.text(left, 1 - 0.08 / height, title, va="top", fontsize=11, fontweight="bold", parse_math=False)
    figure.text(left, 1 - 0.3 / height, small, va="top", fontsize=SMALL, color=GREY, parse_math=False)
    save_png(figure, path)


def _draw_metric(axes: Axes, name: str, marks: Sequence[Mark], values: list[float], untouched: float) -> None:
    axes.set_ylabel(name)
    axes.yaxis.set_major_formatter("{x:g}%")
    _draw_marks(axes, marks, [100 * value for value in values], 100 * untouched)


def _draw_marks(axes: Axes, marks: Sequence[Mark], heights: list[float], untouched: float) -> None:
    """The untouched line, and the settings by their groups, each with its number."""
    from matplotlib.patheffects import withStroke

    axes.axhline(untouched, color=GREY, linewidth=1.2, label="untouched", zorder=1.5)
    for place, group in enumerate(dict.fromkeys(mark.group for mark in marks)):
        own = [(m.change, height) for m, height in zip(marks, heights, strict=True) if m.group == group]
        style = place % len(COLOURS)
        (dots,) = axes.plot(*zip(*own, strict=True), linestyle="none", color=COLOURS[style], zorder=3)
        dots.set(marker=SHAPES[style], markersize=6, label=group.replace("$", r"\$"), clip_on=False)
        dots.set(markeredgecolor="white", markeredgewidth=0.6)
    numbered = sorted(zip(marks, heights, strict=True), key=lambda pair: pair[0].change)
    places = [-math.inf, *(mark.change for mark, _ in numbered), math.inf]
    for before, (mark, height), after in zip(places, numbered, places[2:], strict=False):
        # Away from the nearer neighbour.
        is_left = after - mark.change < mark.change - before
        number = axes.annotate(
            str(mark.number),
            (mark.change, height),
            xytext=(-5 if is_left else 5, 0),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
            fontsize=SMALL,
            zorder=4,
        )
        number.set_path_effects([withStroke(linewidth=2, foreground="white")])


def _add_bars(axes: Axes, marks: Sequence[Mark], untouched: float) -> None:
    across = [mark.change for mark in marks]
    low, high = ([100 * (untouched + mark.gain[end]) for mark in marks] for end in (1, 2))
    label = "95 % interval of\nthe difference"
    axes.vlines(across, low, high, color="#AAAAAA", linewidth=1.6, zorder=2, label=label)


def _make_logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _add_panel(figure: Figure, top: float) -> Axes:
    """Axes whose upper edge is ``top`` inches below the figure's."""
    width, height = figure.get_size_inches()
    box = (LEFT / width, 1 - (top + PANEL) / height, 1 - (LEFT + RIGHT) / width, PANEL / height)
    axes = figure.add_axes(box)
    axes.tick_params(labelsize=8)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes

"""A picture of a run: losses, learning rate and metrics over epochs. Needs matplotlib only when called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reid.evaluation.pictures import COLOURS, DASHES, GREY, LINE_HEIGHT, SMALL, save_png, wrap
from reid.utils import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]

# Numbers of an epoch's row; the others are parts of its loss.
NO_PARTS = {"epoch", "loss", "lr", "lr_denoisers", "images_per_s", "seconds", "gpu_memory_mb"}
# The part that has a panel of its own: a sum over the layers, beside which the others would be flat.
APART = "denoise"
# Behind the panels: light enough for the lines, and told apart by lightness too.
SHADES = ("#FFFFFF", "#DFE9F5", "#F8ECD9", "#D5E8D4", "#EBDDF0")
BLACK = "#222222"
# Inches. The legends stand to the right of the panels.
WIDTH, PANEL, BETWEEN, HEAD, FOOT, LEFT, RIGHT = 9.5, 1.8, 0.14, 0.64, 0.5, 0.85, 2.15
# Up to so many epochs, each has a mark.
FEW = 40
# A loss that falls by more than this factor has a logarithmic axis.
STEEP = 20
# Letters of a data set's name that fit into the legend.
LETTERS = 16


def draw_curves(rows: Sequence[Row], path: Path, title: str = "", note: str = "") -> None:
    """Draw the rows of ``metrics.jsonl`` into one PNG: panels one above the other, the epochs across.

    The loss and its parts; the denoising loss where there is one; the learning rate, on a logarithmic axis;
    mAP and Rank-1 of every data set that was evaluated. The background tells the phases. The lines of the
    loss and of the rate end with a phase, because in the next one they are another sum and another
    optimizer's; those of the parts end with a stage.

    Args:
        rows: Of epochs and of evaluations, in turn.
        path: The PNG to write.
        title: What stands above the panels.
        note: What stands below the title in small print, such as the protocol of the metrics.

    Raises:
        InputError: If there is no row of an epoch.
    """
    from matplotlib.figure import Figure

    epochs = [row for row in rows if "loss" in row]
    evaluations = [row for row in rows if "evaluation" in row]
    if not epochs:
        raise InputError(f"curves need the row of at least one epoch, got {len(rows)} rows and none of them")
    panels: list[Callable[[Axes], None]] = [lambda axes: _draw_losses(axes, epochs)]
    if any(APART in row for row in epochs):
        panels.append(lambda axes: _draw_denoising(axes, epochs))
    if any("lr" in row for row in epochs):  # the closed form has none
        panels.append(lambda axes: _draw_rate(axes, epochs))
    if evaluations:
        panels.append(lambda axes: _draw_metrics(axes, evaluations))
    small = wrap(note, WIDTH - LEFT)
    head = HEAD + LINE_HEIGHT * (small.count("\n") + 1)
    figure = Figure(figsize=(WIDTH, head + len(panels) * (PANEL + BETWEEN) + FOOT))
    for place, draw in enumerate(panels):
        axes = _add_panel(figure, head + place * (PANEL + BETWEEN), is_last=draw is panels[-1])
        draw(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), fontsize=8, frameon=False, handlelength=3)
        shades = _shade(axes, epochs)
    _add_head(figure, title, small, shades)
    save_png(figure, path)


def _draw_losses(axes: Axes, epochs: Sequence[Row]) -> None:
    axes.set_ylabel("loss")
    _draw_line(axes, epochs, "loss", BLACK, per="phase")
    names = [name for row in epochs for name, value in row.items() if isinstance(value, int | float)]
    parts = [name for name in dict.fromkeys(names) if name not in NO_PARTS | {APART}]
    for place, name in enumerate(parts, 1):
        style = place % len(COLOURS)
        _draw_line(axes, epochs, name, COLOURS[style], DASHES[style])
    seen = [row[name] for name in ["loss", *parts] for row in epochs if name in row]
    if min(seen) > 0 and max(seen) > STEEP * min(seen):
        _make_logarithmic(axes, "{x:g}")


def _draw_denoising(axes: Axes, epochs: Sequence[Row]) -> None:
    axes.set_ylabel("denoising loss")
    _draw_line(axes, epochs, APART, COLOURS[-1])


def _draw_rate(axes: Axes, epochs: Sequence[Row]) -> None:
    axes.set_ylabel("learning rate")
    _draw_line(axes, epochs, "lr", BLACK, per="phase")
    if any(row.get("lr", 0) > 0 for row in epochs):
        _make_logarithmic(axes, "{x:.0e}")


def _draw_metrics(axes: Axes, evaluations: Sequence[Row]) -> None:
    axes.set_ylabel("mAP and Rank-1")
    axes.yaxis.set_major_formatter("{x:g}%")
    for place, name in enumerate(dict.fromkeys(row["dataset"] for row in evaluations)):
        found = [(row["epoch"], row["evaluation"]) for row in evaluations if row["dataset"] == name]
        numbers, colour = [epoch for epoch, _ in found], COLOURS[(place + 1) % len(COLOURS)]
        label = name if len(name) <= LETTERS else f"…{name[1 - LETTERS :]}"
        for key, word, dash, mark in (("mAP", "mAP", "solid", "o"), ("R1", "Rank-1", DASHES[1], "s")):
            percent = [100 * figures[key] for _, figures in found]
            (line,) = axes.plot(numbers, percent, color=colour, linestyle=dash, marker=mark, markersize=4)
            line.set(label=f"{label} {word}".replace("$", r"\$"), clip_on=False)


def _draw_line(
    axes: Axes, epochs: Sequence[Row], key: str, colour: str, dash: Any = "solid", per: str = "stage"
) -> None:
    """Draw a number over its epochs, gaps between stages or phases; a lone epoch shows as a mark."""
    across: list[float] = []
    up: list[float] = []
    marked: list[int] = []
    for group in _stretches(epochs, per):
        run = [(row["epoch"], row[key]) for row in group if key in row]
        if len(run) == 1 or len(epochs) <= FEW:
            marked += range(len(up), len(up) + len(run))
        across += [*(epoch for epoch, _ in run), np.nan]
        up += [*(value for _, value in run), np.nan]
    (line,) = axes.plot(across, up, label=key, color=colour, linestyle=dash)
    if marked:
        line.set(marker="o", markersize=3, markevery=marked)


def _stretches(epochs: Sequence[Row], per: str) -> Iterator[list[Row]]:
    """Epochs that follow each other in one stage, and in one phase where ``per`` says so."""
    places = groupby(
        enumerate(epochs), lambda pair: (pair[1]["stage"], pair[1][per], pair[1]["epoch"] - pair[0])
    )
    for _, stretch in places:
        yield [row for _, row in stretch]


def _make_logarithmic(axes: Axes, form: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    subs = (1, 2, 5) if high < 30 * low else (1, 3) if high < 1000 * low else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(form)
    axes.yaxis.set_minor_locator(NullLocator())


def _add_panel(figure: Figure, top: float, *, is_last: bool) -> Axes:
    """Axes whose upper edge is ``top`` inches below the figure's."""
    from matplotlib.ticker import MaxNLocator

    width, height = figure.get_size_inches()
    box = (LEFT / width, 1 - (top + PANEL) / height, 1 - (LEFT + RIGHT) / width, PANEL / height)
    axes = figure.add_axes(box)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(labelsize=8, labelbottom=is_last)
    axes.grid(color="#C8C8C8", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if is_last:
        axes.set_xlabel("epoch")
    return axes


def _shade(axes: Axes, epochs: Sequence[Row]) -> dict[str, Any]:
    """Fill the background by phases; one patch a phase's name."""
    names = list(dict.fromkeys(row["phase"] for row in epochs))
    patches = {}
    for group in _stretches(epochs, "phase"):
        name, numbers = group[0]["phase"], [row["epoch"] for row in group]
        shade = SHADES[names.index(name) % len(SHADES)]
        patches[name] = axes.axvspan(numbers[0] - 0.5, numbers[-1] + 0.5, color=shade, zorder=0, linewidth=0)
    axes.set_xlim(epochs[0]["epoch"] - 0.5, epochs[-1]["epoch"] + 0.5)
    return patches


def _add_head(figure: Figure, title: str, note: str, shades: dict[str, Any]) -> None:
    """Write title, note and the phases, from the top."""
    from matplotlib.patches import Patch

    width, height = figure.get_size_inches()
    left = LEFT / width
    figure.text(left, 1 - 0.08 / height, title, va="top", fontsize=11, fontweight="bold", parse_math=False)
    figure.text(left, 1 - 0.3 / height, note, va="top", fontsize=SMALL, color=GREY, parse_math=False)
    handles = [
        Patch(facecolor=patch.get_facecolor(), edgecolor=GREY, linewidth=0.6, label=name)
        for name, patch in shades.items()
    ]
    lowest = 0.33 + LINE_HEIGHT * (note.count("\n") + 1)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left, 1 - lowest / height),
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        borderaxespad=0,
    )

"""The plots of a report: CMC curves, and histograms of distances."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from reid.evaluation.pictures import DASHES, WIDTHS
from reid.evaluation.report.content import Distances, Model, Report
from reid.evaluation.report.svg import Plot

RANKS = (1, 5, 10, 20, 30, 40, 50)
BINS = 50
AXES = {"cosine": "cosine distance", "euclidean": "Euclidean distance"}


def cmc_figure(models: Sequence[Model]) -> str:
    """Curves of ranks 1 to 50 with a legend; a pointer over a rank is told its values."""
    curves = [100 * np.asarray(model.cmc)[: RANKS[-1]] for model in models]
    # A multiple of 10 below all curves, and never the top itself.
    low = min(90, 10 * math.floor(min(curve.min() for curve in curves) / 10))
    plot = Plot((1, RANKS[-1]), (low, 100), height=320)
    step = 10 if low >= 50 else 20
    ticks = plot.axes(
        {rank: str(rank) for rank in RANKS},
        {value: f"{value}%" for value in range(100, low - 1, -step)},
        "rank",
        "queries matched so far",
    )
    lines = [
        f'<path class="{_line_class(number)}" {_line_style(number)}'
        f' d="{plot.line(range(1, len(curve) + 1), curve)}"/>'
        for number, curve in enumerate(curves)
    ]
    legend = "".join(_legend_entry(number, model) for number, model in enumerate(models))
    label = "CMC curves: " + "; ".join(_in_words(model) for model in models)
    picture = plot.wrap([ticks, *lines, *_hover(plot, models, curves)], label)
    return f'<div class="curves">{picture}<ul class="legend">{legend}</ul></div>'


def _hover(plot: Plot, models: Sequence[Model], curves: Sequence[NDArray[np.float64]]) -> list[str]:
    """A strip over each rank whose title names the values of all curves there."""
    width = plot.across(2) - plot.across(1)
    strips = []
    for rank in range(1, max(len(curve) for curve in curves) + 1):
        values = [
            f"{model.name} {curve[rank - 1]:.1f}%"
            for model, curve in zip(models, curves, strict=True)
            if len(curve) >= rank
        ]
        words = escape("\n".join([f"rank {rank}", *values]))
        strips.append(
            f'<rect class="hover" x="{plot.across(rank) - width / 2:.1f}" y="{plot.up(100):.1f}"'
            f' width="{width:.1f}" height="{plot.up(plot.y[0]) - plot.up(100):.1f}">'
            f"<title>{words}</title></rect>"
        )
    return strips


def _legend_entry(number: int, model: Model) -> str:
    sample = f'<path class="{_line_class(number)}" {_line_style(number)} d="M2 6H44"/>'
    words = escape(_in_words(model))
    return f'<li><svg viewBox="0 0 46 12" aria-hidden="true">{sample}</svg><span>{words}</span></li>'


def _in_words(model: Model) -> str:
    return f"{model.name}: mAP {model.mean_ap:.1%}, Rank-1 {model.cmc[0]:.1%}"


def _line_class(number: int) -> str:
    return f"line line{number % len(DASHES)}"


def _line_style(number: int) -> str:
    """Width and dashes as matplotlib draws them: the lengths of dashes are in widths of the line."""
    style = number % len(DASHES)
    width, dashes = WIDTHS[style], DASHES[style]
    lengths = "" if isinstance(dashes, str) else " ".join(f"{width * length:.1f}" for length in dashes[1])
    return f'stroke-width="{width}"' + (f' stroke-dasharray="{lengths}"' if lengths else "")


def histogram_figures(report: Report) -> str:
    """A histogram for each model, all with the same axes."""
    found = [model.distances for model in report.models]
    values = np.concatenate([part for each in found for part in (each.true, each.false)])
    # A little room at both ends, also where all distances are equal.
    margin = max(0.02 * float(np.ptp(values)), 1e-3)
    edges = np.linspace(max(0.0, float(values.min()) - margin), float(values.max()) + margin, BINS + 1)
    shares = [(_shares(each.true, edges), _shares(each.false, edges)) for each in found]
    top = 100 * max(share.max() for pair in shares for share in pair)
    return "".join(
        _histogram(model, pair, edges, top, AXES[report.metric])
        for model, pair in zip(report.models, shares, strict=True)
    )


def _histogram(
    model: Model,
    shares: tuple[NDArray[np.float64], NDArray[np.float64]],
    edges: NDArray[np.float64],
    top: float,
    axis: str,
) -> str:
    true, false = shares
    both = np.minimum(true, false)
    plot = Plot((edges[0], edges[-1]), (0, 1.05 * top), height=260)
    words = f"true and false matches overlap by {both.sum():.1%}"
    drawn = [
        plot.axes(_ticks(edges[0], edges[-1]), _ticks(0, top, "%"), axis, "share of pairs"),
        *(
            f'<path class="{name}" d="{plot.steps(edges, 100 * share)}"/>'
            for name, share in (("false", false), ("true", true), ("both", both))
        ),
    ]
    return (
        f'<figure class="histogram">{plot.wrap(drawn, f"Histogram of {axis}, {model.name}: {words}")}'
        f"<figcaption><b>{escape(model.name)}</b>: {words}; {_medians(model.distances)}</figcaption></figure>"
    )


def _medians(distances: Distances) -> str:
    parts = (("true", distances.true), ("false", distances.false))
    return "median " + ", ".join(f"{name} {np.median(part):.3f}" for name, part in parts if len(part))


def _shares(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) fractions of the values that lie in each bin; zeros where there is none."""
    return np.histogram(values, edges)[0] / max(1, len(values))


def _ticks(low: float, high: float, unit: str = "") -> dict[float, str]:
    """Three to seven round numbers between two."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    return {number * step: f"{number * step:.6g}{unit}" for number in numbers}

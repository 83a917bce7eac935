"""Pictures of results: CMC curves and ranked lists. Needs matplotlib only when called."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reid.utils import InputError, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Match = tuple[Path, bool, str]  # the image, whether it is right, its caption

# Told apart by colour-blind readers too (after Okabe and Ito). The first line is widest and lies lowest, so
# that curves that coincide show as one inside the other.
COLOURS = ("#56B4E9", "#D55E00", "#004C3A", "#CC79A7", "#E69F00", "#0072B2")
DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 3)), (0, (8, 3)))
WIDTHS = (4.4, 3.0, 1.8, 1.8, 1.6, 1.4)

QUERY_BLUE, RIGHT_GREEN, WRONG_RED, GREY = "#1F5FBF", "#1B8A3A", "#C62828", "#444444"
MARK_RIGHT, MARK_WRONG = "\N{CHECK MARK}", "\N{BALLOT X}"
# Inches. Between the query and its matches lies a wider gap.
CELL_WIDTH, GAP, QUERY_GAP, TITLE_HEIGHT, CAPTION_HEIGHT = 1.1, 0.09, 0.3, 0.28, 0.42
# Above the grid: title and legend, then the lines of the note.
NARROWEST, HEAD_HEIGHT, LINE_HEIGHT = 4.5, 0.62, 0.13
# Points, and how many letters of that size fit at least.
SMALL, LETTERS_PER_INCH = 7, 17
PIXELS = 256  # longest side of an image in the grid
DPI = 150


def draw_cmc(curves: Mapping[str, NDArray[np.float64]], path: Path, title: str = "", note: str = "") -> None:
    """Draw CMC curves into one PNG: rank 1 to 50 across, percent upwards.

    Args:
        curves: By label, (max_rank,) fractions; only the first 50 ranks are drawn. Labels go into the legend
            as they are, so they should carry the figures, e.g. ``fused: R1 84.8%, mAP 66.3%``.
        path: The PNG to write.
        title: What stands above the curves.
        note: What stands below the title in small print, such as the protocol.

    Raises:
        InputError: If there is no curve, or one is empty.
    """
    from matplotlib.figure import Figure

    if not curves or any(len(curve) == 0 for curve in curves.values()):
        raise InputError(
            f"a CMC picture needs at least one curve and no empty one, got {len(curves)} curves "
            f"of lengths {[len(curve) for curve in curves.values()]}"
        )
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.add_subplot()
    lines = []
    for number, curve in enumerate(curves.values()):
        percent = 100 * np.asarray(curve)[:50]
        style = number % len(DASHES)
        lines += axes.plot(
            np.arange(1, len(percent) + 1),
            percent,
            color=COLOURS[style],
            linestyle=DASHES[style],
            linewidth=WIDTHS[style],
            marker="o" if len(percent) == 1 else None,
        )
    _style_cmc_axes(axes)
    figure.suptitle(title, x=0.1, ha="left", fontsize=11, fontweight="bold", parse_math=False)
    # The axes begin an inch from the left.
    small = wrap(note, figure.get_figwidth() - 1)
    axes.set_title(small, loc="left", fontsize=SMALL, color=GREY, parse_math=False)
    legend = axes.legend(lines, list(curves), loc="best", handlelength=4, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)
    save_png(figure, path)


def _style_cmc_axes(axes: Axes) -> None:
    axes.set_xlim(0.5, 50.5)
    axes.set_xticks([1, 5, 10, 20, 30, 40, 50])
    axes.set_ylim(top=100.5)
    axes.yaxis.set_major_formatter("{x:g}%")
    axes.set_xlabel("rank")
    axes.set_ylabel("queries with a true match so far")
    axes.grid(color="#DDDDDD", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_ranked_lists(
    path: Path,
    queries: Sequence[Path],
    matches: Sequence[Sequence[Match]],
    titles: Sequence[str],
    title: str = "",
    note: str = "",
) -> None:
    """Draw one row for each query into a PNG: the query, then its best matches.

    The query's frame is blue. A right match has a green frame and a check mark, a wrong one a red frame
    and a cross; a legend at the top says so. Captions stand below the matches, so ``#1 cam 3 0.912`` or two
    short lines fit.

    Args:
        path: The PNG to write.
        queries: The query images.
        matches: For each query (image, is_correct, caption), best first; lists may differ in length.
        titles: For each query, what stands above its row.
        title: What stands above everything.
        note: What stands below the title in small print: what the captions' numbers are, the protocol.

    Raises:
        InputError: If there is no query, the three lists differ in length, or an image cannot be read.
    """
    from matplotlib.figure import Figure

    if not queries or not len(queries) == len(matches) == len(titles):
        raise InputError(
            "a picture of ranked lists needs at least one query, and matches and a title for each, got "
            f"{len(queries)} queries, {len(matches)} lists, {len(titles)} titles"
        )
    pictures = [_read_pixels(query) for query in queries]
    height = CELL_WIDTH * median(picture.shape[0] / picture.shape[1] for picture in pictures)
    row_height = TITLE_HEIGHT + height + CAPTION_HEIGHT
    columns = 1 + max(len(row) for row in matches)
    width = max(_left_edge(columns), NARROWEST)
    small = wrap(note, width - 2 * GAP)
    head = HEAD_HEIGHT + LINE_HEIGHT * (small.count("\n") + 1)
    figure = Figure(figsize=(width, row_height * len(queries) + head))
    _add_head(figure, title, small)
    bottoms = [row_height * row + CAPTION_HEIGHT for row in reversed(range(len(queries)))]
    for picture, found, title, bottom in zip(pictures, matches, titles, bottoms, strict=True):
        axes = _add_cell(figure, (_left_edge(0), bottom, CELL_WIDTH, height))
        _fill_cell(axes, picture, QUERY_BLUE, "query")
        axes.set_title(title, loc="left", fontsize=8, fontweight="bold", parse_math=False)
        for column, (image, is_correct, caption) in enumerate(found, start=1):
            axes = _add_cell(figure, (_left_edge(column), bottom, CELL_WIDTH, height))
            colour = RIGHT_GREEN if is_correct else WRONG_RED
            _fill_cell(axes, _read_pixels(image), colour, caption)
            _add_mark(axes, MARK_RIGHT if is_correct else MARK_WRONG, colour)
    save_png(figure, path)


def _add_head(figure: Figure, title: str, note: str) -> None:
    """Write title, legend and note, from the top; each on its own line."""
    width, height = figure.get_size_inches()
    left = GAP / width

    def down(inches: float) -> float:
        return 1 - inches / height

    figure.text(left, down(0.08), title, va="top", fontsize=11, fontweight="bold", parse_math=False)
    entries = (
        (0.0, QUERY_BLUE, "query"),
        (0.6, RIGHT_GREEN, f"{MARK_RIGHT} right: the query's identity"),
        (2.6, WRONG_RED, f"{MARK_WRONG} wrong: another identity"),
    )
    for inches, colour, words in entries:
        place = left + inches / width
        figure.text(place, down(0.32), words, va="top", fontsize=8, color=colour, fontweight="bold")
    figure.text(left, down(0.52), note, va="top", fontsize=SMALL, color=GREY, parse_math=False)


def wrap(text: str, inches: float) -> str:
    """Break small print into lines that are no wider than ``inches``."""
    return "\n".join(textwrap.wrap(text, max(1, int(inches * LETTERS_PER_INCH))))


def _left_edge(column: int) -> float:
    return GAP + column * (CELL_WIDTH + GAP) + (QUERY_GAP if column > 0 else 0)


def _add_cell(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Add axes at (left, bottom, width, height) in inches; a picture of another shape hangs from the top."""
    width, height = figure.get_size_inches()
    left, bottom, across, up = box
    return figure.add_axes((left / width, bottom / height, across / width, up / height), anchor="N")


def _fill_cell(axes: Axes, picture: NDArray[np.uint8], colour: str, caption: str) -> None:
    axes.imshow(picture, interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3)
    axes.set_xlabel(caption, fontsize=7, color="#222222", labelpad=3, parse_math=False)


def _add_mark(axes: Axes, mark: str, colour: str) -> None:
    badge = {"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 1}
    axes.text(
        0.97,
        0.97,
        mark,
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=8,
        color="white",
        bbox=badge,
    )


def _read_pixels(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3), its longer side at most ``PIXELS``."""
    return np.asarray(read_picture(path, PIXELS))


def read_picture(path: Path, longest: int) -> Image.Image:
    """Read an image as RGB, its longer side at most ``longest`` pixels.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as fault:
        raise InputError(
            f"cannot read image {path}: {fault}; mend it or leave it out of the picture"
        ) from fault
    picture.thumbnail((longest, longest))
    return picture


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure, atomically."""
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, facecolor="white")

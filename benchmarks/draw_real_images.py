"""Draw what ``real_images.py --json`` measured: each row's gain in mAP with its interval, into one PNG."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reid.evaluation.pictures import COLOURS, GREY, save_png
from reid.utils import InputError
from reid.utils.cli import run_tool, tool_parser

# Rows of the figures, in the order of the picture, and what it calls them.
ROWS = {
    "denoised layers": {
        "the paper's setting, by gradients (4 epochs)": "paper's setting, by gradients",
        "the paper's setting, closed form": "paper's setting, closed form",
        "control: random denoisers of the same norms": "control: random denoisers",
        "closed form, t spread over 1..1000": "closed form, t over 1..1000",
    },
    "adapted to the cameras, no labels": {
        "BatchNorm statistics alone": "BatchNorm statistics alone",
        "camera noise, one mean (k = 2, r = 3)": "camera noise, one mean",
        "default: all chosen without labels": "default, all chosen without labels",
        "control: all variance whitened, no pairs": "control: all variance whitened",
    },
}
WIDTH, HEIGHT, LEFT = 9.5, 4.2, 0.33


def main(words: Sequence[str]) -> None:
    parser = tool_parser(__doc__, "python benchmarks/draw_real_images.py real_images.json real_images.png")
    parser.add_argument("figures", type=Path, help="what real_images.py --json wrote")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    args = parser.parse_args(words)
    draw(read_rows(args.figures), args.picture)


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """The rows of all tables by their names."""
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        rows = {
            name: row for table in tables.values() if isinstance(table, dict) for name, row in table.items()
        }
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is no file of real_images.py --json: {error}") from error
    missing = [name for group in ROWS.values() for name in group if name not in rows]
    if missing:
        raise InputError(f"{path} lacks the rows {missing}; write it anew with real_images.py --json")
    return rows


def draw(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """One line a row: a point at the gain, a bar over its interval, its figures to the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.add_axes((LEFT, 0.15, 0.48, 0.76))
    axes.axvline(0, color=GREY, linewidth=1)
    places, labels, place = [], [], 0.0
    for colour, (title, names) in zip(COLOURS, ROWS.items(), strict=False):
        axes.text(
            -0.02, place, title, transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold"
        )
        for name, label in names.items():
            place -= 1
            gain, (low, high) = rows[name]["mAP_gain"], rows[name]["mAP_gain_interval"]
            axes.plot(
                [100 * low, 100 * high], [place, place], color=colour, linewidth=2.5, solid_capstyle="butt"
            )
            axes.plot([100 * gain], [place], "o", color=colour, markersize=7)
            figures = f"{100 * rows[name]['mAP']:.1f} % mAP ({100 * gain:+.1f})"
            axes.text(1.02, place, figures, transform=axes.get_yaxis_transform(), ha="left", va="center")
            places.append(place)
            labels.append(label)
        place -= 1.3
    axes.set_yticks(places, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(place + 0.7, 0.7)
    axes.set_xlabel("points of mAP gained over the untouched model, 95 % interval")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    save_png(figure, path)


if __name__ == "__main__":
    sys.exit(run_tool(main))

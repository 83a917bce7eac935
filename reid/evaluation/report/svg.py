"""A small plot as inline SVG: a scale, axes and paths. Colours are the page's, by class."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

# Around the axes, in the plot's own units; letters are 13 of them high, 18 on narrow screens.
LEFT, RIGHT, TOP, BOTTOM = 80, 14, 12, 52


@dataclass(frozen=True)
class Plot:
    """Where data lies in a picture.

    Args:
        x: Left and right end of the axis across.
        y: Lower and upper end of the axis upwards.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 480
    height: int = 300

    def across(self, value: float) -> float:
        """Where ``value`` lies between left and right."""
        low, high = self.x
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - RIGHT)

    def up(self, value: float) -> float:
        """Where ``value`` lies between bottom and top."""
        low, high = self.y
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - TOP - BOTTOM)

    def line(self, x: Iterable[float], y: Iterable[float]) -> str:
        """The ``d`` of a path through all points."""
        points = (f"{self.across(a):.1f} {self.up(b):.1f}" for a, b in zip(x, y, strict=True))
        return "M" + "L".join(points)

    def steps(self, edges: NDArray[np.float64], heights: NDArray[np.float64]) -> str:
        """The ``d`` of a histogram's outline, from the axis and back to it.

        Args:
            edges: (B + 1,) of the bins.
            heights: (B,).
        """
        return self.line(np.repeat(edges, 2), [0, *np.repeat(heights, 2), 0])

    def axes(
        self, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], x_label: str, y_label: str
    ) -> str:
        """The grid, the words at its lines, and the names of the axes."""
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        middle = (TOP + bottom) / 2
        lines = [
            *(
                f'<path class="grid" d="M{LEFT} {self.up(value):.1f}H{right}"/>'
                f'<text x="{LEFT - 7}" y="{self.up(value):.1f}" dy="0.35em" text-anchor="end">'
                f"{escape(word)}</text>"
                for value, word in y_ticks.items()
            ),
            *(
                f'<path class="grid" d="M{self.across(value):.1f} {bottom}v5"/>'
                f'<text x="{self.across(value):.1f}" y="{bottom + 8}" dy="0.8em" text-anchor="middle">'
                f"{escape(word)}</text>"
                for value, word in x_ticks.items()
            ),
            f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>',
            f'<text x="{(LEFT + right) / 2}" y="{self.height - 6}" text-anchor="middle">'
            f"{escape(x_label)}</text>",
            f'<text transform="translate(16 {middle})rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>",
        ]
        return "".join(lines)

    def wrap(self, parts: Iterable[str], label: str) -> str:
        """The whole picture; ``label`` says in words what it shows."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(label)}">'
            f"{''.join(parts)}</svg>"
        )

"""A drawn person: clothes from a small shared palette, and the strokes that show them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]  # RGB, 0..255

SKINS: tuple[Color, ...] = ((236, 196, 168), (206, 154, 118), (158, 106, 74), (102, 68, 50))
HAIRS: tuple[Color, ...] = ((28, 24, 24), (74, 50, 34), (150, 112, 62), (150, 148, 146))
CLOTHES: tuple[Color, ...] = (
    (34, 34, 38),
    (112, 114, 118),
    (222, 222, 218),
    (38, 52, 98),
    (92, 132, 180),
    (164, 46, 44),
    (62, 104, 62),
    (178, 152, 112),
)
PATTERNS = ("plain", "plain", "stripes", "columns", "logo", "jacket")
LOWERS = ("trousers", "trousers", "shorts", "skirt")
BAGS = ("", "backpack", "shoulder", "hand")


@dataclass(frozen=True)
class Look:
    """What stays the same on every image of an identity."""

    skin: Color
    hair: Color
    top: Color
    accent: Color
    lower: Color
    shoes: Color
    bag_color: Color
    pattern: str
    lower_kind: str
    bag: str
    hat: bool
    long_hair: bool
    long_sleeves: bool
    width: float
    height: float


@dataclass(frozen=True)
class Pose:
    """What changes from image to image; lengths in body heights."""

    back: bool
    mirrored: bool
    stride: float
    swing: float
    lean: float


def draw_look(rng: np.random.Generator) -> Look:
    """Choose an identity's look."""
    top, accent, lower, bag_color = (CLOTHES[rng.integers(len(CLOTHES))] for _ in range(4))
    return Look(
        skin=SKINS[rng.integers(len(SKINS))],
        hair=HAIRS[rng.integers(len(HAIRS))],
        top=top,
        accent=accent,
        lower=lower,
        shoes=CLOTHES[rng.integers(3)],
        bag_color=bag_color,
        pattern=PATTERNS[rng.integers(len(PATTERNS))],
        lower_kind=LOWERS[rng.integers(len(LOWERS))],
        bag=BAGS[rng.integers(len(BAGS))],
        hat=bool(rng.random() < 0.2),
        long_hair=bool(rng.random() < 0.4),
        long_sleeves=bool(rng.random() < 0.5),
        width=rng.uniform(0.85, 1.2),
        height=rng.uniform(0.92, 1.05),
    )


def draw_pose(rng: np.random.Generator, back_share: float) -> Pose:
    """Choose one image's pose; ``back_share`` is the camera's share of people who walk away from it."""
    return Pose(
        back=bool(rng.random() < back_share),
        mirrored=bool(rng.random() < 0.5),
        stride=rng.uniform(0.0, 0.075),
        swing=rng.uniform(-0.05, 0.07),
        lean=rng.uniform(-0.02, 0.02),
    )


def draw_person(
    canvas: NDArray[np.uint8], look: Look, pose: Pose, top: float, left: float, size: float
) -> None:
    """Draw a standing or walking person.

    Args:
        canvas: (H, W, 4) RGBA, transparent, drawn on in place.
        look: The identity.
        pose: How it stands.
        top: Row of the crown of an average person's head.
        left: Column of the body's axis.
        size: An average person's height in rows.
    """
    _Figure(canvas, look, pose, top, left, size).draw()


class _Figure:
    """One person on one canvas; places are (across, down) in body heights from the crown of the head."""

    def __init__(
        self, canvas: NDArray[np.uint8], look: Look, pose: Pose, top: float, left: float, size: float
    ) -> None:
        self.canvas, self.look, self.pose = canvas, look, pose
        # A short person's feet stand where a tall one's do.
        self.size = size * look.height
        self.top, self.left = top + size - self.size, left
        self.girth = look.width * (-1.0 if pose.mirrored else 1.0)

    def draw(self) -> None:
        """Draw all parts, the far ones first."""
        if self.look.bag == "backpack" and not self.pose.back:
            self._fill(self._box(0.0, 0.2, 0.125, 0.2), self.look.bag_color)
        self._arm(-1.0)
        self._legs()
        self._torso()
        self._arm(1.0)
        self._head()
        self._bag()

    def _at(self, across: float, down: float) -> tuple[int, int]:
        column = self.left + (across * self.girth + self.pose.lean * (1.0 - down)) * self.size
        return round(column), round(self.top + down * self.size)

    def _fill(self, places: list[tuple[float, float]], color: Color) -> None:
        points = np.array([self._at(*place) for place in places], np.int32)
        cv2.fillPoly(self.canvas, [points], (*color, 255), cv2.LINE_AA)

    def _line(self, start: tuple[float, float], end: tuple[float, float], color: Color, width: float) -> None:
        thickness = max(1, round(width * self.size * self.look.width))
        cv2.line(self.canvas, self._at(*start), self._at(*end), (*color, 255), thickness, cv2.LINE_AA)

    def _disc(self, center: tuple[float, float], across: float, down: float, color: Color) -> None:
        axes = (max(1, round(across * self.size)), max(1, round(down * self.size)))
        cv2.ellipse(self.canvas, self._at(*center), axes, 0, 0, 360, (*color, 255), -1, cv2.LINE_AA)

    @staticmethod
    def _box(across: float, down: float, half: float, tall: float) -> list[tuple[float, float]]:
        return [
            (across - half, down),
            (across + half, down),
            (across + half, down + tall),
            (across - half, down + tall),
        ]

    def _legs(self) -> None:
        look, step = self.look, self.pose.stride
        feet = ((-0.045 - step, 0.955 - 0.35 * step), (0.045 + step, 0.96))
        for hip, foot in zip((-0.045, 0.045), feet, strict=True):
            knee = (hip + 0.45 * (foot[0] - hip), 0.72)
            lower = look.lower if look.lower_kind == "trousers" else look.skin
            self._line((hip, 0.5), knee, look.lower, 0.085)
            self._line(knee, foot, lower, 0.07 if look.lower_kind == "trousers" else 0.05)
            self._line(foot, (foot[0] + 0.03, 0.972), look.shoes, 0.045)
        if look.lower_kind == "skirt":
            self._fill([(-0.075, 0.48), (0.075, 0.48), (0.12 + step, 0.7), (-0.12 - step, 0.7)], look.lower)

    def _torso(self) -> None:
        look = self.look
        outline = [(-0.06, 0.155), (0.06, 0.155), (0.115, 0.19), (0.09, 0.36), (0.095, 0.52), (-0.095, 0.52)]
        outline += [(-0.09, 0.36), (-0.115, 0.19)]
        self._fill(outline, look.top)
        self._pattern()

    def _pattern(self) -> None:
        look = self.look
        if look.pattern == "stripes":
            for down in np.arange(0.22, 0.5, 0.07):
                self._line((-0.08, down), (0.08, down), look.accent, 0.024)
        elif look.pattern == "columns":
            for across in (-0.06, 0.0, 0.06):
                self._line((across, 0.2), (across, 0.5), look.accent, 0.016)
        elif look.pattern == "logo" and not self.pose.back:
            self._disc((0.0, 0.29), 0.045, 0.035, look.accent)
        elif look.pattern == "jacket" and not self.pose.back:
            self._fill([(-0.03, 0.16), (0.03, 0.16), (0.035, 0.5), (-0.035, 0.5)], look.accent)

    def _arm(self, side: float) -> None:
        look, swing = self.look, self.pose.swing * side
        shoulder, elbow, hand = (
            (0.11 * side, 0.2),
            (0.135 * side + swing, 0.35),
            (0.13 * side + 2 * swing, 0.49),
        )
        self._line(elbow, hand, look.top if look.long_sleeves else look.skin, 0.042)
        self._line(shoulder, elbow, _shade(look.top, 0.9), 0.055)
        self._disc(hand, 0.02, 0.024, look.skin)

    def _head(self) -> None:
        look, back = self.look, self.pose.back
        if look.long_hair:
            self._disc((0.0, 0.11), 0.066, 0.095, look.hair)
        self._line((0.0, 0.12), (0.0, 0.165), look.skin, 0.05)
        self._disc((0.0, 0.06), 0.055, 0.062, look.hair)
        if not back:
            self._disc((0.01, 0.08), 0.044, 0.052, look.skin)
        elif look.long_hair:
            self._disc((0.0, 0.12), 0.06, 0.08, look.hair)
        if look.hat:
            self._fill([(-0.06, 0.05), (-0.045, -0.005), (0.045, -0.005), (0.06, 0.05)], look.accent)
            self._line((0.0, 0.05), (0.055 if back else 0.085, 0.052), look.accent, 0.018)

    def _bag(self) -> None:
        look = self.look
        if look.bag == "backpack" and self.pose.back:
            self._fill(self._box(0.0, 0.19, 0.09, 0.25), look.bag_color)
            self._fill(self._box(0.0, 0.33, 0.065, 0.09), _shade(look.bag_color, 0.75))
        elif look.bag == "backpack":
            for across in (-0.06, 0.06):
                self._line((across, 0.165), (across * 1.1, 0.34), look.bag_color, 0.024)
        elif look.bag == "shoulder":
            self._line((-0.07, 0.17), (0.1, 0.45), look.bag_color, 0.018)
            self._fill(self._box(0.115, 0.43, 0.05, 0.13), look.bag_color)
        elif look.bag == "hand":
            hand = 0.13 + 2 * self.pose.swing
            self._fill(self._box(hand, 0.52, 0.055, 0.13), look.bag_color)
            self._line((hand, 0.48), (hand - 0.04, 0.53), look.bag_color, 0.012)


def _shade(color: Color, factor: float) -> Color:
    red, green, blue = (round(channel * factor) for channel in color)
    return red, green, blue

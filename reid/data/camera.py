"""A drawn camera: its place, light and colours, and the picture it takes of a drawn person."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from reid.data.person import Look, Pose, draw_person, draw_pose

Picture = NDArray[np.floating]  # (H, W, 3) RGB, 0..255
OVERSAMPLING = 2  # drawn larger and shrunk, so that a shift of less than a pixel shows


@dataclass(frozen=True)
class Camera:
    """What every picture of a camera shares.

    Args:
        backdrop: (h, w, 3) RGB scene, wider than a picture; each picture shows a part of it.
        gain: (3,) factor of each channel: the colour cast.
        gamma: Exponent of the tone curve.
        brightness: Added after the gain, in levels.
        blur: Standard deviation in pixels of an image 128 rows high.
        noise: Standard deviation in levels.
        light: Side that the light comes from, -1 left to 1 right.
        back_share: Share of people seen from behind.
    """

    backdrop: NDArray[np.uint8]
    gain: NDArray[np.float64]
    gamma: float
    brightness: float
    blur: float
    noise: float
    light: float
    back_share: float


def draw_camera(rng: np.random.Generator, image_size: tuple[int, int]) -> Camera:
    """Choose a camera for images of ``image_size`` (H, W)."""
    height, width = (side * OVERSAMPLING for side in image_size)
    return Camera(
        backdrop=_draw_backdrop(rng, height, 4 * width),
        gain=rng.uniform(0.75, 1.2, 3),
        gamma=rng.uniform(0.75, 1.4),
        brightness=rng.uniform(-20, 25),
        blur=rng.uniform(0.1, 0.9),
        noise=rng.uniform(2, 7),
        light=rng.uniform(-1, 1),
        back_share=rng.uniform(0.1, 0.9),
    )


def take_picture(
    camera: Camera, look: Look | None, image_size: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw one image as a detector would crop it.

    Args:
        camera: Who looks.
        look: Who is seen; None for a detection of nobody.
        image_size: (H, W) in pixels.
        rng: What differs from image to image.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    width = image_size[1] * OVERSAMPLING
    offset = rng.integers(camera.backdrop.shape[1] - width + 1)
    scene = camera.backdrop[:, offset : offset + width].astype(np.float32)
    if look is not None:
        _add_person(scene, camera, look, draw_pose(rng, camera.back_share), rng)
    if rng.random() < 0.3:
        _add_occluder(scene, rng)
    shrunk = cv2.resize(scene, image_size[::-1], interpolation=cv2.INTER_AREA)
    return _expose(np.asarray(shrunk, np.float32), camera, rng)


def _draw_backdrop(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """A wall over a ground, with posts or bricks, blotches and a gradient."""
    wall, ground = rng.uniform(60, 210, 3), rng.uniform(70, 180, 3)
    wall, ground = (0.35 * color + 0.65 * color.mean() for color in (wall, ground))
    scene = np.empty((height, width, 3), np.float32)
    horizon = round(height * rng.uniform(0.55, 0.8))
    scene[:horizon], scene[horizon:] = wall, ground
    for _ in range(10):
        left, top = rng.integers(width), rng.integers(-height // 4, horizon)
        right, bottom = left + rng.integers(4, width // 8), top + rng.integers(height // 10, height // 2)
        color = tuple(float(level) for level in wall + rng.uniform(-45, 45) + rng.uniform(-15, 15, 3))
        cv2.rectangle(scene, (int(left), int(top)), (int(right), int(min(bottom, horizon))), color, -1)
    spacing = int(rng.integers(height // 10, height // 3))
    seam = tuple(float(level) for level in ground * 0.8)
    for start in range(0, width, spacing):
        end = start + int(rng.integers(-40, 40))
        cv2.line(scene, (start, height), (end, horizon), seam, 2, cv2.LINE_AA)
    coarse = rng.normal(0, 14, (height // 12, width // 12, 1)).astype(np.float32)
    blotches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    slope = np.linspace(rng.uniform(-20, 20), rng.uniform(-20, 20), height, dtype=np.float32)
    blurred = cv2.GaussianBlur(scene, (0, 0), height / 128)
    return np.clip(blurred + blotches + slope[:, None, None], 0, 255).astype(np.uint8)


def _add_person(scene: Picture, camera: Camera, look: Look, pose: Pose, rng: np.random.Generator) -> None:
    height, width = scene.shape[:2]
    size = height * rng.uniform(0.78, 0.98)
    top = height * rng.uniform(0.0, 0.06) if size < 0.9 * height else height * rng.uniform(-0.03, 0.03)
    left = width * rng.uniform(0.4, 0.6)
    foot = (round(left + camera.light * -0.08 * height), round(top + 0.975 * size))
    shadow = np.zeros((height, width), np.float32)
    cv2.ellipse(shadow, foot, (round(0.17 * size), round(0.025 * size)), 0, 0, 360, 0.45, -1, cv2.LINE_AA)
    scene *= 1 - cv2.GaussianBlur(shadow, (0, 0), height / 80)[..., None]
    layer = np.zeros((height, width, 4), np.uint8)
    draw_person(layer, look, pose, top, left, size)
    cover = layer[..., 3:].astype(np.float32) / 255
    # Lit from one side, and creased a little, so that a garment is no flat colour.
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    creases = rng.normal(0, 0.07, (max(2, height // 16), max(2, width // 16))).astype(np.float32)
    folds = cv2.resize(creases, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    lit = layer[..., :3] * (1 + 0.45 * camera.light * across + folds)
    # Strokes are drawn over transparent black, so their edges carry their cover already.
    scene *= 1 - cover
    scene += np.clip(lit, 0, 255)


def _add_occluder(scene: Picture, rng: np.random.Generator) -> None:
    """A post, a low wall or another thing in the way, over 8 % to 35 % of one side."""
    height, width = scene.shape[:2]
    color = rng.uniform(40, 190) + rng.uniform(-20, 20, 3)
    kind = rng.integers(3)
    if kind == 0:
        left = rng.integers(width)
        scene[:, left : left + round(width * rng.uniform(0.08, 0.15))] = color
    elif kind == 1:
        scene[height - round(height * rng.uniform(0.1, 0.35)) :] = color
    else:
        edge = round(width * rng.uniform(0.1, 0.3))
        top = round(height * rng.uniform(0.2, 0.6))
        scene[top:, :edge] = color
        if rng.random() < 0.5:
            scene[:] = scene[:, ::-1].copy()


def _expose(picture: Picture, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, tone, tint and noise: the camera's, a little different each time."""
    blur = camera.blur * picture.shape[0] / 128 * rng.uniform(0.7, 1.4)
    blurred = cv2.GaussianBlur(picture, (0, 0), max(blur, 0.05))
    toned = 255 * (np.clip(blurred, 0, 255) / 255) ** camera.gamma
    tinted = toned * camera.gain * rng.uniform(0.88, 1.12) + camera.brightness + rng.uniform(-10, 10)
    noisy = tinted + rng.normal(0, camera.noise, picture.shape)
    return np.clip(noisy, 0, 255).round().astype(np.uint8)

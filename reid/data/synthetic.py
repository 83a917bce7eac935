"""What all data sets of drawn people share: who is seen, the pictures, and a tree that is whole or absent.

Hard on purpose: few colours shared by many people, and pixels that differ between cameras.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from reid.data.camera import Camera, draw_camera, take_picture
from reid.data.folders import STAMP
from reid.data.person import Look, draw_look
from reid.utils import InputError, write_json

DRAWING = 1  # raised when the same parameters give other images
JPEG_QUALITY = 92
# Lowest and highest values: names have four digits of identity, and every camera's scene is kept in memory.
LIMITS = {
    "num_train_ids": (1, 9999),
    "num_test_ids": (1, 9999),
    "num_cameras": (2, 99),
    "images_per_camera": (1, 999),
    "num_distractors": (0, 9999),
    "num_junk": (0, 9999),
    "seed": (0, 2**63 - 1),
}
MOST_IMAGES = 200_000
# Each use has random numbers of its own, so that one more camera changes no person.
LOOK, CAMERA, IMAGE, JUNK = range(4)


class Shot(NamedTuple):
    """One image to take: who, by which camera, and the how manieth; person -1 is nobody."""

    person: int
    camera: int
    number: int


@dataclass(frozen=True)
class Plan:
    """How large a drawn data set is; as the arguments of ``write_synthetic_market``."""

    num_train_ids: int = 32
    num_test_ids: int = 16
    num_cameras: int = 4
    images_per_camera: int = 4
    image_size: tuple[int, int] = (128, 64)
    seed: int = 0

    def studio(self) -> Studio:
        """The cameras and people."""
        return Studio(self.seed, self.num_cameras, self.image_size)

    def train_shots(self) -> Iterator[Shot]:
        """Every training image; persons are numbered from 0."""
        return shots(range(self.num_train_ids), self.num_cameras, self.images_per_camera)

    def test_shots(self) -> Iterator[Shot]:
        """Every test image, one more by each camera for the query; persons go on after those of train."""
        people = range(self.num_train_ids, self.num_train_ids + self.num_test_ids)
        return shots(people, self.num_cameras, self.images_per_camera + 1)


class Studio:
    """Cameras and people of one seed.

    Args:
        seed: Non-negative.
        num_cameras: How many cameras look.
        image_size: (H, W) in pixels.
    """

    def __init__(self, seed: int, num_cameras: int, image_size: tuple[int, int]) -> None:
        self.seed = seed
        self.image_size = image_size
        self.cameras: list[Camera] = [
            draw_camera(np.random.default_rng([seed, CAMERA, number]), image_size)
            for number in range(num_cameras)
        ]

    def take(self, shot: Shot) -> NDArray[np.uint8]:
        """The image, (H, W, 3) RGB."""
        person, camera, number = shot
        look: Look | None = None
        if person >= 0:
            look = draw_look(np.random.default_rng([self.seed, LOOK, person]))
        use = IMAGE if person >= 0 else JUNK
        rng = np.random.default_rng([self.seed, use, max(person, 0), camera, number])
        return take_picture(self.cameras[camera], look, self.image_size, rng)

    def write(self, path: Path, shot: Shot) -> None:
        """Take the image and write it in the format of the path's suffix; parent folders are made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix == ".jpg" else []
        _, data = cv2.imencode(path.suffix, self.take(shot)[..., ::-1], options)
        path.write_bytes(data.tobytes())


def shots(people: range, num_cameras: int, images_per_camera: int) -> Iterator[Shot]:
    """Every person by every camera, ``images_per_camera`` times."""
    for person in people:
        for camera in range(num_cameras):
            for number in range(images_per_camera):
                yield Shot(person, camera, number)


def write_once(root: Path, arguments: dict[str, Any], draw: Callable[[Path], None]) -> None:
    """Draw into a folder beside ``root`` and rename it, unless the same arguments wrote ``root`` before.

    Raises:
        InputError: If an argument is out of range, or ``root`` is no folder or holds anything else.
    """
    _check(arguments)
    stamp = json.loads(json.dumps({"drawing": DRAWING, **arguments}))
    if root.exists() and not root.is_dir():
        raise InputError(f"synthetic images need a folder of their own, {root} is none; choose another name")
    if root.is_dir() and any(root.iterdir()):
        if _read_stamp(root) == stamp:
            return
        raise InputError(
            f"synthetic images need a folder of their own, {root} holds something else or was drawn with "
            f"other parameters; choose another folder or remove this one"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}-") as temporary:
        tree = Path(temporary) / root.name
        draw(tree)
        write_json(tree / STAMP, stamp)
        if root.is_dir():
            root.rmdir()
        shutil.move(tree, root)


def _read_stamp(root: Path) -> Any:
    path = root / STAMP
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except ValueError:
        return None


def _check(arguments: dict[str, Any]) -> None:
    for name, (least, most) in LIMITS.items():
        if name in arguments and not least <= arguments[name] <= most:
            raise InputError(
                f"{name} of a synthetic data set must be in {least}..{most}, got {arguments[name]}"
            )
    size = arguments["image_size"]
    if len(size) != 2 or not 32 <= min(size) <= max(size) <= 1024:
        raise InputError(f"image_size of a synthetic data set must be (H, W) in 32..1024, got {size}")
    num_ids = arguments["num_train_ids"] + arguments["num_test_ids"]
    num_images = num_ids * arguments["num_cameras"] * arguments["images_per_camera"]
    if num_images > MOST_IMAGES:
        raise InputError(
            f"a synthetic data set must have at most {MOST_IMAGES} images, {num_ids} identities by"
            f" {arguments['num_cameras']} cameras make {num_images}; draw fewer"
        )

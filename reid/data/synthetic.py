"""Data sets of drawn people in the layouts of Market-1501 and MSMT17, for demonstrations and tests.

Hard on purpose: few colours shared by many people, and pixels that differ between cameras.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from reid.data.camera import Camera, draw_camera, take_picture
from reid.data.folders import STAMP
from reid.data.person import Look, draw_look
from reid.utils import InputError, unknown_choice, write_json

DRAWING = 1  # raised when the same parameters give other images
JPEG_QUALITY = 92
MSMT_FOLDERS = {"V1": ("train", "test"), "V2": ("mask_train_v2", "mask_test_v2")}
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

    def write(self, path: Path, shot: Shot) -> None:
        """Take the image and write it as a JPEG; parent folders are made."""
        person, camera, number = shot
        look: Look | None = None
        if person >= 0:
            look = draw_look(np.random.default_rng([self.seed, LOOK, person]))
        use = IMAGE if person >= 0 else JUNK
        rng = np.random.default_rng([self.seed, use, max(person, 0), camera, number])
        image = take_picture(self.cameras[camera], look, self.image_size, rng)
        path.parent.mkdir(parents=True, exist_ok=True)
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        path.write_bytes(data.tobytes())


def write_synthetic_market(
    root: Path,
    *,
    num_train_ids: int = 32,
    num_test_ids: int = 16,
    num_cameras: int = 4,
    images_per_camera: int = 4,
    image_size: tuple[int, int] = (128, 64),
    num_distractors: int = 16,
    num_junk: int = 8,
    seed: int = 0,
) -> None:
    """Write drawn people as a Market-1501 tree, which ``load_market1501(root)`` reads.

    Every identity is seen by every camera: ``images_per_camera`` times in train or in the gallery, and once
    more as a query. The gallery also holds distractors (0000) and junk without a person (-1). The same
    arguments draw the same images; a tree that they wrote before is kept as it is.

    Args:
        root: The folder to become the tree; absent, empty, or written by the same arguments.
        num_train_ids: Training identities, numbered from 1; these and all other numbers within ``LIMITS``.
        num_test_ids: Test identities, numbered after them.
        num_cameras: Cameras, at least 2.
        images_per_camera: Images of an identity by a camera, a query not counted.
        image_size: (H, W) in pixels, each in 32..1024.
        num_distractors: Gallery images of people who are nobody's match.
        num_junk: Gallery images of nobody, numbered -1.
        seed: Of all that is random.

    Raises:
        InputError: If an argument is out of range, more than ``MOST_IMAGES`` would be drawn, or the folder
            holds anything else.
    """
    arguments = {key: value for key, value in locals().items() if key != "root"}
    num_ids = num_train_ids + num_test_ids

    def draw(folder: Path) -> None:
        studio = Studio(seed, num_cameras, image_size)
        for shot in _shots(range(num_train_ids), num_cameras, images_per_camera):
            studio.write(folder / "bounding_box_train" / _market_name(shot.person + 1, shot), shot)
        for shot in _shots(range(num_train_ids, num_ids), num_cameras, images_per_camera + 1):
            split = "bounding_box_test" if shot.number < images_per_camera else "query"
            studio.write(folder / split / _market_name(shot.person + 1, shot), shot)
        for extra in range(num_distractors):
            shot = Shot(num_ids + extra, extra % num_cameras, extra)
            studio.write(folder / "bounding_box_test" / _market_name(0, shot), shot)
        for extra in range(num_junk):
            shot = Shot(-1, extra % num_cameras, extra)
            studio.write(folder / "bounding_box_test" / _market_name(-1, shot), shot)

    _write_once(root, {"layout": "Market-1501", **arguments}, draw)


def write_synthetic_msmt(
    root: Path,
    *,
    version: str = "V1",
    num_train_ids: int = 32,
    num_test_ids: int = 16,
    num_cameras: int = 4,
    images_per_camera: int = 4,
    image_size: tuple[int, int] = (128, 64),
    seed: int = 0,
) -> None:
    """Write drawn people as an MSMT17 tree of ``version``, which ``load_msmt17(root)`` reads.

    As ``write_synthetic_market``, without distractors and junk. Train and test identities are both numbered
    from 0; each training identity's last image by the first camera is listed in ``list_val.txt``.

    Raises:
        InputError: If an argument is out of range, or the folder holds anything else.
    """
    arguments = {key: value for key, value in locals().items() if key != "root"}
    if version not in MSMT_FOLDERS:
        raise InputError(unknown_choice("MSMT17 version", version, MSMT_FOLDERS))
    train_folder, test_folder = MSMT_FOLDERS[version]

    def draw(folder: Path) -> None:
        studio = Studio(seed, num_cameras, image_size)
        lists: dict[str, list[str]] = {name: [] for name in ("train", "val", "query", "gallery")}
        for shot in _shots(range(num_train_ids), num_cameras, images_per_camera):
            split = "val" if (shot.camera, shot.number) == (0, images_per_camera - 1) else "train"
            name = _msmt_name(shot.person, shot)
            studio.write(folder / train_folder / name, shot)
            lists[split].append(f"{name} {shot.person}")
        for shot in _shots(
            range(num_train_ids, num_train_ids + num_test_ids), num_cameras, images_per_camera + 1
        ):
            split = "gallery" if shot.number < images_per_camera else "query"
            pid = shot.person - num_train_ids
            name = _msmt_name(pid, shot)
            studio.write(folder / test_folder / name, shot)
            lists[split].append(f"{name} {pid}")
        for split, lines in lists.items():
            (folder / f"list_{split}.txt").write_text(
                "".join(f"{line}\n" for line in lines), encoding="utf-8"
            )

    _write_once(root, {"layout": "MSMT17", **arguments}, draw)


def _shots(people: range, num_cameras: int, images_per_camera: int) -> Iterator[Shot]:
    for person in people:
        for camera in range(num_cameras):
            for number in range(images_per_camera):
                yield Shot(person, camera, number)


def _market_name(pid: int, shot: Shot) -> str:
    number = f"{pid:04d}" if pid >= 0 else str(pid)
    return f"{number}_c{shot.camera + 1}s1_{shot.number + 1:06d}_00.jpg"


def _msmt_name(pid: int, shot: Shot) -> str:
    frame = f"{shot.camera + 1:02d}_0303morning_{shot.number:04d}_0.jpg"
    return f"{pid:04d}/{pid:04d}_{shot.number:03d}_{frame}"


def _write_once(root: Path, arguments: dict[str, Any], draw: Callable[[Path], None]) -> None:
    """Draw into a folder beside ``root`` and rename it, unless the same arguments wrote ``root`` before."""
    _check(arguments)
    stamp = json.loads(json.dumps({"drawing": DRAWING, **arguments}))
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

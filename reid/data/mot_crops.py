"""Cutting boxes out of video frames, once: a folder of crops is whole or absent."""

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from reid.data.read_image import read_bytes
from reid.utils import InputError, refresh_interval

FORMAT = 1  # raised when the same boxes give other files
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Video:
    """Frames as image files whose names are their numbers, ``000001.jpg``.

    Args:
        name: Of the sequence.
        folder: With the frames.
        size: (H, W) of every frame, in pixels.
    """

    name: str
    folder: Path
    size: tuple[int, int]


@dataclass(frozen=True)
class Boxes:
    """Boxes as columns.

    Args:
        frames: (N,) int64, from 1.
        tracks: (N,) int64.
        corners: (N, 4) int64 left, top, right, bottom in pixels from 0, right and bottom excluded.
    """

    frames: NDArray[np.int64]
    tracks: NDArray[np.int64]
    corners: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Boxes":
        """The given rows, in that order."""
        return Boxes(self.frames[rows], self.tracks[rows], self.corners[rows])


def crop_name(frame: int, track: int) -> str:
    """The file of a crop in the sequence's folder."""
    return f"{track:07d}_{frame:06d}.jpg"


def cut_crops(video: Video, boxes: Boxes, cache: Path) -> Path:
    """Cut every box out of its frame, as JPEG; the folder's name holds a digest of the boxes.

    What was cut before is kept, whatever has become of the frames since: delete the cache to cut anew.

    Args:
        video: The frames.
        boxes: Inside the frames, at least one pixel each.
        cache: Where the folder is made.

    Returns:
        The folder of ``crop_name`` files.

    Raises:
        InputError: If a frame is missing, cannot be read or has another size.
    """
    columns = [np.array([FORMAT]), boxes.frames, boxes.tracks, boxes.corners]
    digest = hashlib.sha256(b"".join(column.astype("<i8").tobytes() for column in columns)).hexdigest()
    target = cache / f"{video.name}-{digest[:12]}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{video.name}-") as temporary:
        folder = Path(temporary) / "crops"
        folder.mkdir()
        _cut_frames(video, boxes, folder)
        try:
            folder.rename(target)
        except OSError:
            # Another process has cut the same crops meanwhile.
            if not target.is_dir():
                raise
    return target


def _cut_frames(video: Video, boxes: Boxes, folder: Path) -> None:
    """Cut with a thread a core: OpenCV works outside the interpreter's lock."""
    files = _frame_files(video.folder)
    order = np.argsort(boxes.frames, kind="stable")
    frames, starts = np.unique(boxes.frames[order], return_index=True)
    missing = sorted(set(frames.tolist()) - set(files))
    if missing:
        raise InputError(f"{video.folder} must hold every frame with a box, frame {missing[0]} is missing")
    parts = [boxes.select(rows) for rows in np.split(order, starts[1:])]
    paths = [files[frame] for frame in frames.tolist()]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        try:
            done = pool.map(partial(_cut_frame, video, folder), paths, parts)
            for _ in tqdm(
                done, f"crops of {video.name}", len(paths), unit="frame", mininterval=refresh_interval()
            ):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _frame_files(folder: Path) -> dict[int, Path]:
    if not folder.is_dir():
        raise InputError(f"the frames of a sequence must be in a folder, {folder} is none; unpack them there")
    return {
        int(entry.stem): entry
        for entry in folder.iterdir()
        if entry.stem.isdecimal() and entry.suffix.lower() in (".jpg", ".jpeg", ".png")
    }


def _cut_frame(video: Video, folder: Path, path: Path, boxes: Boxes) -> None:
    image = cv2.imdecode(np.frombuffer(read_bytes(path), np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape[:2] != video.size:
        height, width = video.size
        came = "it cannot be read" if image is None else f"it is {image.shape[1]} x {image.shape[0]}"
        raise InputError(
            f"a frame of {video.name} must be an image of {width} x {height} pixels as seqinfo.ini says, "
            f"{path}: {came}; restore it"
        )
    for track, frame, (left, top, right, bottom) in zip(
        boxes.tracks.tolist(), boxes.frames.tolist(), boxes.corners.tolist(), strict=True
    ):
        crop = np.ascontiguousarray(image[top:bottom, left:right])
        _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / crop_name(frame, track)).write_bytes(data.tobytes())

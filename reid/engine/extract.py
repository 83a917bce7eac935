"""Features of a list of images into a feature file, in parts: an interruption loses one of them at most."""

import logging
import time
import traceback
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reid.data.readable import Unreadable
from reid.engine.extract_parts import ExtractSettings, make_parts
from reid.engine.image_list import ImageList
from reid.engine.parts import Part, Parts
from reid.engine.side import log_unknown, table_of
from reid.evaluation import FeatureSet
from reid.evaluation.feature_files import write_features
from reid.models import Preprocessing, ReIDModel
from reid.utils import InputError, digest
from reid.utils.units import time_in_words

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Extraction:
    """What was extracted.

    Args:
        title: Of the images.
        num_images: How many have a feature.
        width: Numbers a feature.
        flip: As in the settings.
        skipped: The path in the list of each of the others, and why it cannot be read.
        num_new: Images that were embedded now, not taken from an interrupted extraction.
        seconds: For them.
    """

    title: str
    num_images: int
    width: int
    flip: bool
    skipped: tuple[tuple[str, str], ...]
    num_new: int
    seconds: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.num_new / self.seconds

    def as_text(self) -> str:
        """What there is to say, for reading."""
        flip = "flip" if self.flip else "no flip"
        lines = [f"{self.num_images} images of {self.title}, {self.width} numbers each, {flip}"]
        if self.skipped:
            lines.append(f"{len(self.skipped)} images cannot be read and are left out; the log names them")
        now = f"{self.num_new} images now in {time_in_words(self.seconds)}, {self.rate:.1f} images/s"
        return "\n".join([*lines, now])

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "title": self.title,
            "num_images": self.num_images,
            "width": self.width,
            "flip": self.flip,
            "num_skipped": len(self.skipped),
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
            "num_new": self.num_new,
            "seconds": self.seconds,
            "images_per_second": self.rate,
        }


def extract(
    model: ReIDModel,
    preprocessing: Preprocessing,
    images: ImageList,
    out: Path,
    device: torch.device,
    settings: ExtractSettings,
) -> Extraction:
    """Write the features of ``images`` to ``out``, as ``write_features`` does.

    Parts are kept in ``<out>.parts`` until the end. Batches are those of an uninterrupted extraction wherever
    one goes on, so on a CPU the file is the same to the bit.

    Args:
        model: Any trained model.
        preprocessing: As its checkpoint says.
        images: What is read, in this order.
        out: Ends in ``.npz``.
        device: Where features are computed.
        settings: How.

    Raises:
        InputError: If an image cannot be read and is not to be skipped, none can be read, a feature is not
            finite, or there are parts of another extraction.
        OSError: If a file cannot be written.
    """
    log_unknown(table_of(model.spec), images.name, images.records)
    parts = Parts(out)
    num_done = parts.begin(_job(model, preprocessing, images, device, settings), resume=settings.resume)
    start = time.perf_counter()
    rows, unreadable = _complete(parts, num_done, model, preprocessing, images, device, settings)
    seconds = time.perf_counter() - start
    kept = images.records.select(np.concatenate(rows))
    if not len(kept):
        parts.remove()
        raise InputError(f"no image of {images.title} can be read; the first: {unreadable[0].reason}")
    feats = _joined(parts, [number for number, own in enumerate(rows) if len(own)], len(kept))
    table = FeatureSet(feats, *map(torch.from_numpy, (kept.pids, kept.camids)))
    write_features(out, table, kept.paths, images.identities)
    parts.remove()
    return Extraction(
        title=images.title,
        num_images=len(kept),
        width=feats.shape[1],
        flip=settings.flip,
        skipped=tuple((str(images.records.paths[row]), reason) for row, reason in unreadable),
        num_new=sum(map(len, rows[num_done:])),
        seconds=seconds,
    )


def _complete(
    parts: Parts,
    num_done: int,
    model: ReIDModel,
    preprocessing: Preprocessing,
    images: ImageList,
    device: torch.device,
    settings: ExtractSettings,
) -> tuple[list[NDArray[np.int64]], list[Unreadable]]:
    """Make and keep the parts that are missing; give the rows of every part, and all unreadable images."""
    rows: list[NDArray[np.int64]] = []
    unreadable: list[Unreadable] = []

    def note(part: Part) -> None:
        for image in part.unreadable:
            if settings.on_corrupt == "refuse":
                raise InputError(image.reason)
            logger.warning("skipped: %s", image.reason)
        rows.append(part.rows)
        unreadable.extend(part.unreadable)

    for number in range(num_done):
        note(parts.read(number))
    try:
        # Closed, so that the bar is ended before an error is told.
        with closing(make_parts(model, preprocessing, images, device, settings, num_done)) as new:
            for number, part in enumerate(new, num_done):
                parts.write(number, part)
                note(part)
    except InputError as error:
        # The frames hold the workers' loader in a cycle; collected late, it waits 5 s for each of them.
        traceback.clear_frames(error.__traceback__)
        raise
    return rows, unreadable


def _job(
    model: ReIDModel,
    preprocessing: Preprocessing,
    images: ImageList,
    device: torch.device,
    settings: ExtractSettings,
) -> dict[str, Any]:
    """All that decides what a part holds; whether images may be skipped is asked of each part."""
    records = images.records
    # A column of texts is a table of numbers, four bytes a letter.
    letters = np.ascontiguousarray(records.paths).view(np.uint8)
    columns = (letters, records.pids, records.camids, records.viewids)
    return {
        "weights": digest(model.state_dict().values()),
        "model": str(model.spec),
        "preparation of images": str(preprocessing),
        "folder of images": str(records.root.resolve()),
        "list of images": digest(map(torch.from_numpy, columns)),
        "identities": list(images.identities),
        "flip": settings.flip,
        "batch size": settings.batch_size,
        "part size": settings.part_size,
        "device": device.type,
    }


def _joined(parts: Parts, numbers: list[int], count: int) -> torch.Tensor:
    """The ``count`` features of the parts, one part in memory beside them."""
    found = (parts.read(number).feats for number in numbers)
    head, place = next(found), 0
    feats = torch.empty(count, head.shape[1])
    for part in chain([head], found):
        feats[place : place + len(part)] = torch.from_numpy(part)
        place += len(part)
    return feats

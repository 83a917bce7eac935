"""MOT-format video: tracks as identities, and whether a track is recognised a set number of frames later."""

import configparser
import hashlib
import logging
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reid.data.folders import check_root
from reid.data.mot_crops import Boxes, Video, crop_name, cut_crops
from reid.data.records import UNKNOWN, Records, ReIDDataset, Trial
from reid.utils import InputError

logger = logging.getLogger(__name__)

GROUND_TRUTH, INFO = "gt/gt.txt", "seqinfo.ini"
FIELDS = ("frame", "id", "left", "top", "width", "height", "conf", "class", "visibility")
PEDESTRIAN = 1
# Track numbers restart in each sequence, so the sequence is coded into the identity.
TRACK_STEP = 10_000_000


@dataclass(frozen=True)
class MotRules:
    """Which boxes are cut out, and how tracks are re-associated.

    Args:
        gap: Frames from a query to its gallery, at least 1.
        min_visibility: Least visible share of a pedestrian, 0 to 1.
        min_height: Least height of a box inside the picture, in pixels, at least 1.
        cache: Where crops are kept; None takes ``.crops`` beside the sequences.
    """

    gap: int = 30
    min_visibility: float = 0.5
    min_height: int = 64
    cache: Path | None = None


def load_mot(
    root: Path, *, train: bool = True, test: bool = True, rules: MotRules | None = None
) -> ReIDDataset:
    """Read sequences ``root/<sequence>`` as test video, or those in ``root/train`` and ``root/test``.

    A sequence holds the frames, ``gt/gt.txt`` and ``seqinfo.ini``; folders without a ground truth are passed
    over, and of sequences with the same ground truth (MOT17 lists each three times, once a detector) the
    first is taken. Boxes of pedestrians to be considered (class 1, conf 1) are cut out once and kept.

    Training uses every box. The evaluation is what a tracker asks: at frames 1, 1 + gap, 1 + 2 gap, ... the
    tracks then in the picture are the queries and those ``gap`` frames later the gallery, one ``Trial`` for
    each such pair of frames with a track in common; each pair weighs the same in the mean. Identities are
    (sequence, track). A sequence has one camera, by which every match would be junk, so cameras are unknown.

    Args:
        root: The folder.
        train: Whether the training images are wanted.
        test: The same for the test images.
        rules: Which boxes, and the gap; None takes the defaults.

    Raises:
        InputError: If there is no sequence, a file of one is missing or malformed, train and test share a
            sequence, nothing is left to train on, or no track is seen again after ``gap`` frames.
    """
    rules = rules or MotRules()
    sequences = _find_sequences(root)
    # Numbered over both parts, so that an identity does not depend on the parts asked for.
    numbers = {
        folder: number for number, folder in enumerate([f for part in sequences.values() for f in part])
    }
    cache = rules.cache or root / ".crops"
    training = testing = Records.empty(cache)
    trials: list[Trial] = []
    for folder in sequences["train"] if train else []:
        training = training.append(_cut(cache, folder, _read_boxes(folder, rules), numbers[folder]))
    for folder in sequences["test"] if test else []:
        boxes = _read_boxes(folder, rules)
        boxes = boxes.select((boxes.frames - 1) % rules.gap == 0)
        trials += _pair_frames(boxes, rules.gap, len(testing))
        testing = testing.append(_cut(cache, folder, boxes, numbers[folder]))
    if test and sequences["test"] and not trials:
        raise InputError(
            f"no track in {root} is seen again {rules.gap} frames later; use a smaller gap or visibility"
        )
    name = root.resolve().name
    title = f"{name} (tracks {rules.gap} frames later, {len(trials)} pairs of frames)" if trials else name
    return ReIDDataset(name, title, "train", training, testing, tuple(trials))


def _find_sequences(root: Path) -> dict[str, list[Path]]:
    """The sequences of each part, none twice."""
    check_root(root)
    split = any((root / part).is_dir() for part in ("train", "test"))
    parts = {"train": root / "train", "test": root / "test"} if split else {"test": root}
    known: dict[str, tuple[str, Path]] = {}
    found: dict[str, list[Path]] = {"train": [], "test": []}
    for part, parent in parts.items():
        for truth in sorted(parent.glob(f"*/{GROUND_TRUTH}")):
            if not truth.is_file():
                raise InputError(f"a ground truth must be a regular file, {truth} is none; restore it")
            folder = truth.parents[1]
            same = known.setdefault(hashlib.sha256(truth.read_bytes()).hexdigest(), (part, folder))
            if same[1] == folder:
                found[part].append(folder)
            elif same[0] == part:
                logger.info("%s has the ground truth of %s and is passed over", folder, same[1].name)
            else:
                raise InputError(
                    f"{folder} has the ground truth of {same[1]}: train and test must not share a sequence; "
                    f"move one of them"
                )
    if not known:
        raise InputError(
            f"MOT video needs sequences with {GROUND_TRUTH}, {root} holds none; expected "
            f"<sequence>/{GROUND_TRUTH} there, or in train/ and test/"
        )
    return found


def _cut(cache: Path, folder: Path, boxes: Boxes, number: int) -> Records:
    """Records of the boxes' crops, which are cut out unless they are there."""
    if not len(boxes):
        logger.warning("%s has no boxes that meet the rules", folder)
        return Records.empty(cache)
    crops = cut_crops(_read_video(folder), boxes, cache)
    rows = zip(boxes.frames.tolist(), boxes.tracks.tolist(), strict=True)
    return Records.from_rows(
        cache,
        [
            (f"{crops.name}/{crop_name(frame, track)}", number * TRACK_STEP + track, UNKNOWN)
            for frame, track in rows
        ],
    )


def _pair_frames(boxes: Boxes, gap: int, first_row: int) -> list[Trial]:
    """A trial for each frame with a track that is there ``gap`` frames later too.

    Args:
        boxes: Of one sequence, sorted by frame.
        gap: In frames.
        first_row: The row of the first box in the test records.
    """
    rows = {frame: np.flatnonzero(boxes.frames == frame) for frame in np.unique(boxes.frames).tolist()}
    pairs = [(query, rows[frame + gap]) for frame, query in rows.items() if frame + gap in rows]
    return [
        Trial(first_row + query, first_row + gallery)
        for query, gallery in pairs
        if len(np.intersect1d(boxes.tracks[query], boxes.tracks[gallery]))
    ]


def _read_video(folder: Path) -> Video:
    """Where the frames of a sequence are, and their size, from ``seqinfo.ini``."""
    path, parser = folder / INFO, configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
        info = parser["Sequence"]
        size = (int(info["imHeight"]), int(info["imWidth"]))
        return Video(folder.name, folder / info.get("imDir", "img1"), size)
    except (FileNotFoundError, UnicodeDecodeError, configparser.Error, KeyError, ValueError) as error:
        fault = " ".join(str(error).split())
        raise InputError(
            f"{path} must hold imWidth and imHeight under [Sequence], got: {fault}; restore it"
        ) from error


def _read_boxes(folder: Path, rules: MotRules) -> Boxes:
    """The boxes that meet the rules, inside the picture, sorted by frame and track."""
    path = folder / GROUND_TRUTH
    table = _read_truth(path)
    frames, tracks = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64)
    height, width = _read_video(folder).size
    # The format counts pixels from 1.
    low = np.clip(np.floor(table[:, 2:4] - 1), 0, [width, height]).astype(np.int64)
    high = np.clip(np.ceil(table[:, 2:4] - 1 + table[:, 4:6]), 0, [width, height]).astype(np.int64)
    sides = high - low
    kept = (table[:, 6] == 1) & (table[:, 7] == PEDESTRIAN) & (table[:, 8] >= rules.min_visibility)
    kept &= (sides[:, 0] >= 1) & (sides[:, 1] >= max(rules.min_height, 1))
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort([tracks[rows], frames[rows]])]
    boxes = Boxes(frames[rows], tracks[rows], np.concatenate([low, high], axis=1)[rows])
    again = (np.diff(boxes.frames) == 0) & (np.diff(boxes.tracks) == 0)
    if again.any():
        row = int(np.flatnonzero(again)[0])
        raise InputError(
            f"{path} must hold one box of a track in a frame, track {boxes.tracks[row]} has several in "
            f"frame {boxes.frames[row]}; remove the wrong one"
        )
    return boxes


def _read_truth(path: Path) -> NDArray[np.float64]:
    """(N, 9) the lines as numbers."""
    numbers = array("d")
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if text.strip():
            numbers.extend(_parse(path, line, text))
    return np.array(numbers).reshape(-1, len(FIELDS))


def _parse(path: Path, line: int, text: str) -> list[float]:
    try:
        values = [float(cell) for cell in text.split(",")]
    except ValueError:
        values = []
    whole = len(values) == len(FIELDS) and values[0] % 1 == 0 and values[1] % 1 == 0
    if not whole or not np.isfinite(values).all() or values[0] < 1 or not 0 <= values[1] < TRACK_STEP:
        raise InputError(
            f"{path}:{line} must read {','.join(FIELDS)}, numbers with frames from 1 and ids from 0, "
            f"got '{text.strip()}'"
        )
    return values

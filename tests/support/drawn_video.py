"""A drawn MOT sequence: coloured pedestrians on a grey ground."""

import cv2
import numpy as np

HEIGHT, WIDTH = 48, 64


def color_of(track):
    """(3,) BGR, different for each small track."""
    return np.array([50 * (track % 5), 40 * (track // 5 % 6), 200 - 30 * (track % 7)])


def draw_sequence(root, lines, num_frames=4, size=(HEIGHT, WIDTH), suffix=".png"):
    """Write frames, ``gt/gt.txt`` and ``seqinfo.ini``; each line fills its box with its track's colour.

    A line is (frame, track, left, top, width, height) with any of conf, class, visibility behind it.
    """
    (root / "img1").mkdir(parents=True)
    (root / "gt").mkdir()
    frames = np.full((num_frames, *size, 3), 120, np.uint8)
    rows = []
    for frame, track, left, top, width, height, *others in lines:
        x, y = max(left - 1, 0), max(top - 1, 0)
        frames[frame - 1, y : top - 1 + height, x : left - 1 + width] = color_of(track)
        rows.append((frame, track, left, top, width, height, *others, *(1, 1, 1)[len(others) :]))
    for number, frame in enumerate(frames, 1):
        cv2.imwrite(str(root / "img1" / f"{number:06d}{suffix}"), frame)
    (root / "gt" / "gt.txt").write_text("".join(f"{','.join(map(str, row))}\n" for row in rows))
    height, width = size
    info = f"[Sequence]\nname={root.name}\nimDir=img1\nimWidth={width}\nimHeight={height}\nimExt={suffix}\n"
    (root / "seqinfo.ini").write_text(info)
    return root

"""Opening every image once, by as many processes as the machine has cores."""

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from reid.data.read_image import ImageError, decode_image, read_bytes

CHUNK = 32  # images handed to a process at a time


class ImageFact(NamedTuple):
    """What opening an image showed.

    Args:
        digest: 16 bytes that differ where the files' contents do; empty where the image cannot be read.
        fault: Why it cannot be read, in one line that names it; empty where it can.
    """

    digest: bytes
    fault: str


def check_images(paths: Sequence[Path]) -> dict[Path, ImageFact]:
    """Read and decode every image, with a progress bar on a terminal."""
    processes = min(os.cpu_count() or 1, 1 + len(paths) // CHUNK)
    with multiprocessing.Pool(processes, _leave_interrupts_to_the_parent) as pool:
        facts = pool.imap(check_image, paths, CHUNK)
        # disable=None: no bar where stderr is a file.
        return dict(zip(paths, tqdm(facts, "images", len(paths), leave=False, disable=None), strict=True))


def check_image(path: Path) -> ImageFact:
    """Read and decode one image."""
    try:
        data = read_bytes(path)
        decode_image(data, path)
    except ImageError as error:
        return ImageFact(b"", str(error))
    return ImageFact(hashlib.blake2b(data, digest_size=16).digest(), "")


def _leave_interrupts_to_the_parent() -> None:
    """Otherwise every process would print a traceback when the user interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

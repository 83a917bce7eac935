"""What a process takes of its machine, and what is left: memory and disk."""

import shutil
import sys
from pathlib import Path

import torch


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held so far.

    On a GPU what its tensors there took, since torch's peak was reset; on the CPU its resident memory since
    it started, Python and all libraries included. Other processes, those that read images too, are not
    counted.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # there is none on Windows, where the rest of the toolkit runs

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def free_space(folder: Path) -> int:
    """The bytes that are free on the disk of a folder, or of the place where it would be made."""
    place = folder.absolute()
    return shutil.disk_usage(next(p for p in (place, *place.parents) if p.exists())).free

"""Finished cells as files, and what they were made with."""

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import reid
from reid.models.header import package_versions
from reid.utils import InputError


def read_result(folder: Path, key: str) -> dict[str, Any] | None:
    """A finished cell; None where there is none.

    Raises:
        InputError: If the file is no result of this tool.
    """
    path = folder / f"{key}.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["cell"] == key and isinstance(found["metrics"], dict):
            return found
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} must be a result of this tool: {error}; delete it") from error
    raise InputError(f"{path} must be the result of {key}, it is another; delete it")


def environment() -> dict[str, Any]:
    """Versions, hardware, and the git commit of the code where there is one."""
    return {"versions": package_versions(), "hardware": _hardware(), "commit": _commit()}


def _hardware() -> dict[str, Any]:
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "cpus": os.cpu_count(), "gpus": gpus}


def _commit() -> str | None:
    root = Path(reid.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None

"""Finished cells as files, and what they were made with."""

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import reid
from reid.leaderboard.paper import Cell
from reid.models.header import package_versions
from reid.utils import InputError, check_output, check_writable


def read_result(folder: Path, key: str) -> dict[str, Any] | None:
    """A finished cell; None where there is none.

    Raises:
        InputError: If the file is no result of this tool.
        OSError: If it cannot be read.
    """
    path = folder / f"{key}.json"
    if not os.path.lexists(path):
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        fault = _fault(found, key)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        fault = str(error) or type(error).__name__
    if fault:
        raise InputError(f"{path} must be the result of {key} that this tool wrote: {fault}; delete it")
    return dict(found)


def _fault(found: Any, key: str) -> str:
    """What in a file is not as a finished cell is; empty where all is."""
    if found["cell"] != key:
        return "it is of another cell"
    texts = [found["protocol"], found["digest"], found["finished"], *found["differences"]]
    if not isinstance(found["differences"], list) or not all(isinstance(text, str) for text in texts):
        return "its words are no text"
    if not isinstance(found["toy"], bool):
        return "toy is neither true nor false"
    for name, column in found["metrics"].items():
        numbers = [column["mean"], *(column[other] for other in column if other != "interval")]
        numbers += column.get("interval", [])
        if not all(isinstance(number, float | int) and math.isfinite(number) for number in numbers):
            return f"{name} holds what is no number"
    made = found["versions"], found["hardware"]
    return "" if all(isinstance(part, dict) for part in made) else "versions or hardware are missing"


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no finite number")


def read_results(folder: Path, cells: Iterable[Cell]) -> dict[str, dict[str, Any]]:
    """The finished ones of some cells, by their keys.

    Raises:
        InputError: If there is no such folder, or a cell's file is no result of this tool.
        OSError: If a file cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"the folder of results must be one that 'run' wrote to, {folder} is no folder")
    found = {cell.key: read_result(folder, cell.key) for cell in cells}
    return {key: result for key, result in found.items() if result is not None}


def check_places(folder: Path, json_file: Path | None, cells: Iterable[Cell]) -> None:
    """Refuse a folder of results that cannot be written, and figures that would replace a finished cell.

    Raises:
        InputError: With what to name instead.
    """
    files = [folder / f"{cell.key}.json" for cell in cells]
    check_writable(folder / "cell.json")
    if json_file is not None:
        check_output(json_file, *files, to_stream=True)


def environment() -> dict[str, Any]:
    """The time in UTC, versions, hardware, and the git commit of the code where there is one."""
    finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {
        "finished": finished,
        "versions": package_versions(),
        "hardware": _hardware(),
        "commit": _commit(),
    }


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

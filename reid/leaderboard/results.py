"""Finished cells as files, and what they were made with."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import reid
from reid.evaluation import moments
from reid.leaderboard.paper import Cell, find_cells
from reid.models.header import package_versions
from reid.utils import InputError, check_output

# Beside the finished cells: what was trained, and drawn people.
RUNS, TOY_DATA = "runs", "toy_data"
MOST = 1e6  # milliseconds an image


def read_result(folder: Path, key: str) -> dict[str, Any] | None:
    """A finished cell; None where there is none.

    Raises:
        InputError: If the file is no result of this tool.
        OSError: If it cannot be read.
    """
    path = folder / f"{key}.json"
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        raise InputError(f"{path} must be the file of a finished cell, it is no regular file; remove it")
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
    if not isinstance(found["differences"], list) or not _are_texts(texts):
        return "its words are no text"
    if not isinstance(found["toy"], bool):
        return "toy is neither true nor false"
    if not {"mAP", "R1"} <= set(found["metrics"]):
        return "mAP or R1 is missing"
    for name, column in found["metrics"].items():
        interval = column.get("interval", [0, 0])
        numbers = [column["mean"], column.get("std", 0), *interval]
        if len(interval) != 2 or not all(_is_figure(number) for number in numbers):
            return f"{name} holds what is no number"
    made = found["versions"], found["hardware"]
    if not all(isinstance(part, dict) for part in made) or not _are_texts(found["hardware"]["gpus"]):
        return "versions or hardware are missing"
    json.dumps(found, ensure_ascii=False).encode()  # raises where a page of it could not be written
    return ""


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_figure(value: Any) -> bool:
    """Whether it can be a metric, a gain or milliseconds."""
    return isinstance(value, float | int) and not isinstance(value, bool) and abs(value) < MOST


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no finite number")


def read_results(folder: Path, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """The finished ones of some cells, by their keys; at least one.

    Raises:
        InputError: If there is no such folder, none of the cells is finished, or a file is no result of this
            tool.
        OSError: If a file cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"the folder of results must be one that 'run' wrote to, {folder} is no folder")
    found = {cell.key: result for cell in cells if (result := read_result(folder, cell.key)) is not None}
    if not found:
        raise InputError(f"{folder} must hold a finished cell of what is asked for, it holds none; run some")
    return found


def check_places(folder: Path, *outputs: Path | None) -> None:
    """Refuse outputs that cannot be written, or in the place of what lies in a folder of results.

    Args:
        folder: Of the results.
        outputs: Files to write; None is none. They must differ, too.

    Raises:
        InputError: With what to name instead.
    """
    kept = [folder / f"{cell.key}.json" for cell in find_cells()]
    kept += [folder / name / "run" for name in (RUNS, TOY_DATA)]
    given = [path for path in outputs if path is not None]
    for place, path in enumerate(given):
        check_output(path, *kept, *given[:place], to_stream=True)


def join_seeds(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean, and deviation of several seeds, of what the paper's cells hold, and of the gain in mAP.

    Of one seed the gain has the interval of its test.

    Args:
        rows: The figures of each seed's model, as a comparison has them.

    Returns:
        By the metrics' names ``mean``, and ``std`` or of the gain ``interval``; fractions, ms an image.
    """
    columns: dict[str, Callable[[dict[str, Any]], float]] = {
        "mAP": lambda row: row["mAP"],
        "R1": lambda row: row["R1"],
        "overhead": lambda row: row["latency_ratio"] - 1,
        "ms_per_image": lambda row: row["ms_per_image"],
    }
    if all(row["mAP_gain"] is not None for row in rows):
        columns["mAP_gain"] = lambda row: row["mAP_gain"]
    values = {name: [float(of(row)) for row in rows] for name, of in columns.items()}
    found: dict[str, dict[str, Any]] = {
        name: moments(v) if len(v) > 1 else {"mean": v[0]} for name, v in values.items()
    }
    if len(rows) == 1 and "mAP_gain" in found:
        found["mAP_gain"]["interval"] = list(rows[0]["mAP_gain_interval"])
    return found


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

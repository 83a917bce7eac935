"""Benchmarks and tools as modules, run in this process as their scripts would be."""

import importlib.util
import sys
from pathlib import Path

from reid.utils.cli import run_tool

ROOT = Path(__file__).parents[2]


def load_script(monkeypatch, name):
    """A script such as ``benchmarks/latency.py`` as a module; it finds its neighbours beside it."""
    path = ROOT / name
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(f"{path.stem}_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(module, monkeypatch, *words):
    """The exit code of its ``main`` on ``words``; None stands for 0 where it returns."""
    monkeypatch.setattr(sys, "argv", [Path(module.__file__).name, *map(str, words)])
    try:
        return run_tool(module.main)
    except SystemExit as leave:
        return leave.code

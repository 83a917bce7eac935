"""What the benchmarks share: drawn features, clocks, memory, and the machine in words."""

import argparse
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from reid.utils.cli import OneLineParser

MB = 2**20
NAMES = ("vit_small", "vit_base")  # backbones that the benchmarks of networks take
ROWS = 4096  # drawn at a time, so that drawing holds little more than what is drawn


class Side(NamedTuple):
    feats: Tensor  # (N, D) float32
    pids: Tensor  # (N,) int64
    camids: Tensor  # (N,) int64


class Seconds(NamedTuple):
    wall: float
    cpu: float  # of all threads: what remains comparable where neighbours take the cores


def size_parser(description: str, example: str, **defaults: int) -> OneLineParser:
    """A parser with an option for each of the counts in ``defaults``."""
    parser = OneLineParser(
        description=description,
        epilog=f"example: {example}; the variable OMP_NUM_THREADS sets the threads of all",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=count, default=default, metavar="N", help=f"number of {name}")
    return parser


def count(word: str) -> int:
    if not (word.isdecimal() and len(word) < 9 and int(word) >= 1):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {word[:20]!r}")
    return int(word)


def draw_side(num_images: int, width: int, num_ids: int, seed: int) -> Side:
    """Features around one centre an identity, as a trained model's are; 15 cameras."""
    centres = torch.randn(num_ids, width, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(seed)
    pids = torch.randint(num_ids, (num_images,), generator=random)
    feats = torch.empty(num_images, width)
    for rows in torch.arange(num_images).split(ROWS):
        feats[rows] = torch.randn(len(rows), width, generator=random) + centres[pids[rows]]
    return Side(feats, pids, torch.randint(15, (num_images,), generator=random))


def clock(call: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def peak_mb() -> float:
    """The most memory this process has held so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak * 1024 / MB


def describe_machine() -> str:
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    return f"{model}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def describe_device(device: torch.device) -> str:
    """The GPU, or how busy the CPUs are as far as the system tells; and the machine."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name()}; {describe_machine()}"
    one_minute = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return f"load {one_minute} on {os.cpu_count()} CPUs; {describe_machine()}"


def ratio_cells(times: Sequence[Seconds], base: Sequence[Seconds]) -> list[str]:
    """Median seconds, and the median over the rounds of the ratio to ``base``, by the wall and by the CPU."""
    cells = []
    for kind in Seconds._fields:
        own, other = ([getattr(seconds, kind) for seconds in column] for column in (times, base))
        ratios = torch.tensor(own) / torch.tensor(other)
        cells += [f"{torch.tensor(own).median():.2f}", f"{ratios.median():.2f}"]
    return cells

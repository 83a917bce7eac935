"""Latency of plain, unfused and fused ViT-S at 256x128, interleaved in one run."""

import argparse
import sys
from collections.abc import Sequence

import torch

from reid.denoise import attach_denoisers, fuse_denoisers
from reid.evaluation import format_table, measure_latency
from reid.models import ModelSpec, ReIDModel
from reid.utils.cli import OneLineParser, run_tool


def main(words: Sequence[str]) -> None:
    parser = OneLineParser(
        description=__doc__,
        epilog="example: python benchmarks/latency.py 8 9",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("batch", nargs="?", type=_count, default=16, help="images a call")
    parser.add_argument("rounds", nargs="?", type=_count, default=15, help="timed calls of each model")
    args = parser.parse_args(words)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain = ReIDModel(ModelSpec("vit_small", (256, 128), 751)).eval().to(device)
    unfused = attach_denoisers(plain, "mlp")
    models = {"plain": plain, "unfused": unfused, "fused": fuse_denoisers(unfused)}
    images = torch.randn(args.batch, 3, 256, 128, device=device)
    results = measure_latency(dict(models), images, rounds=args.rounds)
    hardware = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    rows = [
        [name, f"{result.median_ms_per_image:.2f}", f"{result.ratio_to_first:.3f}"]
        for name, result in results.items()
    ]
    print(format_table([f"ViT-S, batch {args.batch}, {hardware}", "ms/image", "x plain"], rows))


def _count(word: str) -> int:
    if not (word.isdecimal() and len(word) < 6 and 1 <= int(word) <= 10**4):
        raise argparse.ArgumentTypeError(f"must be a whole number in 1..10000, got {word[:20]!r}")
    return int(word)


if __name__ == "__main__":
    sys.exit(run_tool(main))

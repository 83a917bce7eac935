"""The closed form's one pass over the images against the plain forward pass, interleaved in one run.

Both run the network without a graph; the pass also adds up what enters each MLP layer. Of its first vectors
all are taken, of later ones some stand for all: these later batches are what a pass over many images costs in
the long run. Solving every layer comes once, after the pass.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import torch
from support import NAMES, count, describe_device
from torch import Tensor, nn

from reid.denoise import attach_denoisers, solve_denoisers
from reid.denoise.statistics import PER_IMAGE, place_recorders
from reid.evaluation import format_table
from reid.evaluation.latency import time_in_turns
from reid.models import ModelSpec, ReIDModel
from reid.utils.cli import OneLineParser, run_tool

SIZE = (256, 128)


def main(words: Sequence[str]) -> None:
    parser = OneLineParser(
        description=__doc__,
        epilog="example: python benchmarks/closed_form.py --batch 16 --rounds 48",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--name", choices=NAMES, default=NAMES[0], help="the backbone")
    parser.add_argument("--batch", type=count, default=16, metavar="N", help="images a batch")
    parser.add_argument("--rounds", type=count, default=48, metavar="N", help="timed batches of each row")
    parser.add_argument(
        "--per-image", type=count, default=PER_IMAGE, metavar="N", help="vectors of a later image and layer"
    )
    args = parser.parse_args(words)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain = ReIDModel(ModelSpec(args.name, SIZE, 0)).to(device).eval()
    denoised = attach_denoisers(plain, "mlp")
    images = torch.randn(args.batch, 3, *SIZE, device=device)
    whole, _ = place_recorders(denoised, None)
    sampled, recorders = place_recorders(denoised, args.per_image, at_least=0)
    for recorder in recorders.values():
        recorder.num_images = args.batch
    rows = {
        "plain forward": plain,
        f"statistics, {args.per_image} vectors an image": sampled,
        "statistics, all vectors": whole,
    }
    times = time_in_turns({name: _call(model, images) for name, model in rows.items()}, args.rounds, device)
    base, *_ = times.values()
    # Not the median: most batches only wait for the one that adds up what they left, every 16th with 8
    # vectors of 16 images. So the rounds should be a multiple of these.
    cells = [
        [name, f"{1000 * sum(seconds) / args.rounds:.0f}", f"{sum(seconds) / sum(base):.3f}"]
        for name, seconds in times.items()
    ]
    statistics = {name: recorder.moments() for name, recorder in recorders.items()}
    start = time.perf_counter()
    solve_denoisers(denoised, statistics)
    solved = time.perf_counter() - start
    cells.append([f"solving {len(statistics)} layers, once", f"{1000 * solved:.0f}", ""])
    print(f"{args.name}, batch {args.batch}, {args.rounds} rounds; {describe_device(device)}")
    print(format_table(["", "ms/batch", "x plain"], cells))


def _call(model: nn.Module, images: Tensor) -> Callable[[], object]:
    return torch.no_grad()(lambda: model(images))


if __name__ == "__main__":
    sys.exit(run_tool(main))

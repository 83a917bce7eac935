"""Label-free training against plain training: what one step costs, interleaved in one run.

A plain step is identity and triplet loss, forward, backward and SGD. A label-free step runs the network
without a graph and steps the denoisers of all MLP layers by AdamW: on all positions, and on shares of them.
The products are counted too: their ratio is what a step would cost if nothing but products took time.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import torch
from support import NAMES, count, describe_device
from torch.utils.flop_counter import FlopCounterMode

from reid.data import Batch
from reid.denoise import attach_denoisers
from reid.denoise.denoiser import LOSSES
from reid.engine.optimizer import OptimizerSpec, create_optimizer
from reid.engine.phases import BASELINE, LABEL_FREE, Freezer, Phase
from reid.engine.steps import DenoiseWeight, LabelLoss, compute_loss
from reid.evaluation import format_table
from reid.evaluation.latency import time_in_turns
from reid.losses import IdentityTripletLoss
from reid.models import ModelSpec, ReIDModel
from reid.utils.cli import OneLineParser, run_tool

SIZE, CLASSES = (256, 128), 751


def main(words: Sequence[str]) -> None:
    parser = OneLineParser(
        description=__doc__,
        epilog="example: python benchmarks/label_free.py --batch 16 --rounds 15 --shares 0.25 0.125",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--name", choices=NAMES, default=NAMES[0], help="the backbone")
    parser.add_argument("--batch", type=count, default=16, metavar="N", help="images a step")
    parser.add_argument("--rounds", type=count, default=15, metavar="N", help="timed steps of each row")
    parser.add_argument("--shares", type=_share, nargs="+", default=[0.25, 0.125], help="of the positions")
    parser.add_argument("--loss", choices=LOSSES, default="l2", help="the denoising loss")
    args = parser.parse_args(words)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plain = ReIDModel(ModelSpec(args.name, SIZE, CLASSES)).to(device)
    denoised = attach_denoisers(plain, "mlp")
    batch = draw_batch(args.batch, device)
    label_free = prepare_steps(denoised, LABEL_FREE, OptimizerSpec("AdamW", 4e-4), batch, args.loss)
    calls = {
        "plain training": partial(prepare_steps(plain, BASELINE, OptimizerSpec("SGD", 1e-3), batch), 1.0),
        "label-free, all positions": partial(label_free, 1.0),
    }
    for share in args.shares:
        calls[f"label-free, a share of {share:g}"] = partial(label_free, share)
    products = {name: _count_products(call) for name, call in calls.items()}
    times = time_in_turns(calls, args.rounds, device)
    base, *_ = times.values()
    most, *_ = products.values()
    rows = []
    for name, seconds in times.items():
        ratio = median(own / other for own, other in zip(seconds, base, strict=True))
        rows.append([name, f"{1000 * median(seconds):.0f}", f"{ratio:.3f}", f"{products[name] / most:.3f}"])
    print(
        f"{args.name}, batch {args.batch}, {args.rounds} rounds, loss {args.loss}; {describe_device(device)}"
    )
    print(format_table(["", "ms/step", "x plain", "x its products"], rows))


def prepare_steps(
    model: ReIDModel, phase: Phase, spec: OptimizerSpec, batch: Batch, kind: str = "l2"
) -> Callable[[float], None]:
    """A function that takes one step of ``phase``, given the share of the positions."""
    freezer = Freezer(model)
    freezer.enter(phase)
    trained = freezer.denoisers if phase.trains_denoisers else freezer.backbone
    optimizer, labels = create_optimizer(spec, trained), LabelLoss(IdentityTripletLoss())

    def step(share: float) -> None:
        loss = compute_loss(model, batch, phase, labels, DenoiseWeight(kind, share=share))
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        optimizer.step()

    return step


def draw_batch(size: int, device: torch.device) -> Batch:
    """Noise images, four of each identity."""
    numbers = torch.arange(size, device=device)
    images = torch.randn(size, 3, *SIZE, device=device)
    cameras = torch.zeros_like(numbers)
    return Batch(images, numbers // 4 % CLASSES, cameras, numbers, cameras)


def _count_products(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of one call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _share(word: str) -> float:
    try:
        share = float(word)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0, at most 1, got {word[:20]!r}")
    return share


if __name__ == "__main__":
    sys.exit(run_tool(main))

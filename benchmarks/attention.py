"""Throughput of a vision transformer at 256x128: fused attention against attention written out.

Written out is softmax(q k^T / sqrt(d)) v with its (N, N) matrix, as other code bases of the field compute
it. All rows are one network with one set of weights, take turns in every round, and run in inference mode.
"""

import argparse
import copy
import sys
from collections.abc import Sequence

import torch
from support import NAMES, count, describe_device
from torch import nn

from reid.engine.flags import relative_difference
from reid.evaluation import format_table, measure_latency
from reid.models import ModelSpec, ReIDModel
from reid.models.inference import InferenceOptions, prepare_for_inference
from reid.utils.cli import OneLineParser, run_tool

WRITTEN_OUT = "attention written out"


def main(words: Sequence[str]) -> None:
    parser = OneLineParser(
        description=__doc__,
        epilog="example: python benchmarks/attention.py --name vit_base --batch 64 --bf16",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--name", choices=NAMES, default=NAMES[0], help="the backbone")
    parser.add_argument("--batch", type=count, default=16, metavar="N", help="images a call")
    parser.add_argument("--rounds", type=count, default=25, metavar="N", help="timed calls of each row")
    parser.add_argument("--bf16", action="store_true", help="add a row in bfloat16")
    parser.add_argument("--fp16", action="store_true", help="add a row in float16")
    parser.add_argument("--channels-last", action="store_true", help="add a row with channels last")
    parser.add_argument("--compile", action="store_true", help="add a row compiled by torch.compile")
    args = parser.parse_args(words)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = ReIDModel(ModelSpec(args.name, (256, 128), 751)).eval().to(device)
    options = {
        "bfloat16": args.bf16 and InferenceOptions("bfloat16"),
        "float16": args.fp16 and InferenceOptions("float16"),
        "channels last": args.channels_last and InferenceOptions(channels_last=True),
        "compiled": args.compile and InferenceOptions(compile=True),
    }
    rows: dict[str, nn.Module] = {WRITTEN_OUT: write_out(model), "fused, eager float32": model}
    rows |= {f"fused, {name}": prepare_for_inference(model, case) for name, case in options.items() if case}
    images = torch.randn(args.batch, 3, 256, 128, device=device)
    times = measure_latency(rows, images, rounds=args.rounds)
    reference = rows[WRITTEN_OUT].embed(images)
    cells = [
        [
            name,
            f"{times[name].median_ms_per_image:.3f}",
            f"{times[name].ratio_to_first:.3f}",
            f"{relative_difference(network.embed(images), reference):.1e}",
        ]
        for name, network in rows.items()
    ]
    print(f"{args.name}, batch {args.batch}, {args.rounds} rounds; {describe_device(device)}")
    print(format_table(["", "ms/image", "x written out", "feature difference"], cells))


def write_out(model: ReIDModel) -> ReIDModel:
    """A copy whose attention computes its matrix."""
    model = copy.deepcopy(model)
    for block in model.backbone.blocks:
        block.attn.fused_attn = False
    return model


if __name__ == "__main__":
    sys.exit(run_tool(main))

"""Train a model: baseline, then denoisers.

A folder that holds the checkpoints of a run is never written over: name another OUTPUT_DIR, or delete it.
Several GPUs or machines: torchrun --nproc-per-node=4 tools/train.py ...; each takes a part of a batch.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine.build import build_run, build_seeds
from reid.engine.distributed import join_world
from reid.engine.experiment import report_run, run_experiment
from reid.utils import pick_device, setup_logging, write_json
from reid.utils.cli import add_json_option, config_parser, run_tool


def main(words: Sequence[str]) -> None:
    parser = config_parser(
        __doc__, "python tools/train.py --config vit_small_msmt.yml DATASETS.ROOT_DIR /data"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the interrupted run in OUTPUT_DIR")
    parser.add_argument(
        "--controls",
        action="store_true",
        help="also train the controls of the denoising, and compare all with the untouched model",
    )
    parser.add_argument(
        "--seeds", type=_count, metavar="N", help="repeat with N seeds; mean and standard deviation"
    )
    add_json_option(parser)
    args = parser.parse_intermixed_args(words)
    cfg = load_config(args.config, args.overrides)
    with join_world(pick_device(cfg.MODEL.DEVICE).type) as world:
        setup_logging(rank=world.rank)
        folder = Path(cfg.OUTPUT_DIR)
        if args.controls or args.seeds:
            runs = build_seeds(cfg, args.seeds, world) if args.seeds else iter([build_run(cfg, world)])
            setup_logging(folder, rank=world.rank)
            report = run_experiment(runs, controls=args.controls, resume=args.resume)
        else:
            run = build_run(cfg, world)
            setup_logging(folder, rank=world.rank)
            report = report_run(run, run.run(args.resume))
    if not world.is_main:
        return
    print(report.text)
    if args.json:
        write_json(args.json, report.figures)
    print(f"checkpoints: {', '.join(sorted(map(str, folder.rglob('*.pth'))))}")


def _count(word: str) -> int:
    if not (word.isdecimal() and 1 <= int(word) <= 1000):
        raise argparse.ArgumentTypeError(f"must be a whole number in 1..1000, got {word[:20]!r}")
    return int(word)


if __name__ == "__main__":
    sys.exit(run_tool(main))

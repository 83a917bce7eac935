"""Train a model: baseline, then denoisers.

A folder that holds the checkpoints of a run is never written over: name another OUTPUT_DIR, or delete it.
Several GPUs or machines: torchrun --nproc-per-node=4 tools/train.py ...; each takes a part of a batch.
Exit status: 0 when the job was done, 1 when --overfit or --dry-run finds a fault, 2 for wrong input.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from yacs.config import CfgNode

from reid.config import load_config
from reid.engine.build import build_run, build_seeds
from reid.engine.distributed import World, join_world
from reid.engine.dry_run import dry_run
from reid.engine.estimate import Estimate
from reid.engine.experiment import Report, report_run, run_experiment
from reid.engine.overfit import overfit
from reid.engine.overfit_report import OverfitReport
from reid.utils import check_writable, pick_device, setup_logging, write_json
from reid.utils.cli import (
    add_comparisons,
    add_json_option,
    add_try_outs,
    config_parser,
    run_tool,
    with_number,
)


def main(words: Sequence[str]) -> int:
    parser = config_parser(__doc__, "python tools/train.py --config demo.yml SOLVER.SEED 7")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--resume", action="store_true", help="go on from the interrupted run in OUTPUT_DIR")
    add_try_outs(ways)
    add_comparisons(parser)
    add_json_option(parser)
    args = parser.parse_intermixed_args(with_number(words, "--overfit", 100))
    if (args.controls or args.seeds) and (args.dry_run or args.overfit is not None):
        parser.error("--controls and --seeds go with neither --dry-run nor --overfit; try one run out first")
    cfg = load_config(args.config, args.overrides)
    with join_world(pick_device(cfg.MODEL.DEVICE).type) as world:
        setup_logging(rank=world.rank)
        report = work(args, cfg, world)
    if world.is_main:
        print(report.as_text())
    if world.is_main and args.json:
        write_json(args.json, report.as_dict())
    return 0 if report.is_well else 1


def work(args: argparse.Namespace, cfg: CfgNode, world: World) -> Report | Estimate | OverfitReport:
    check_writable(Path(cfg.OUTPUT_DIR, "log.txt"))
    seeds = args.seeds and build_seeds(cfg, args.seeds, world, resume=args.resume)
    runs = seeds or iter([build_run(cfg, world)])
    run = next(runs)
    if args.dry_run or args.overfit is not None:
        return dry_run(run) if args.dry_run else overfit(run, args.overfit)
    setup_logging(Path(cfg.OUTPUT_DIR), rank=world.rank)
    if args.controls or args.seeds:
        return run_experiment(chain([run], runs), controls=args.controls, resume=args.resume)
    return report_run(run, run.run(args.resume))


if __name__ == "__main__":
    sys.exit(run_tool(main))

"""Train a model: baseline, then denoisers.

A folder that holds the checkpoints of a run is never written over: name another OUTPUT_DIR, or delete it.
Several GPUs or machines: torchrun --nproc-per-node=4 tools/train.py ...; each takes a part of a batch.
Exit status: 0 when the job was done, 1 when --overfit or --dry-run finds a fault, 2 for wrong input.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine.build import build_run
from reid.engine.compare import row_name
from reid.engine.distributed import join_world
from reid.engine.dry_run import dry_run
from reid.engine.overfit import overfit
from reid.evaluation import FIGURES, figure_cells, format_table
from reid.utils import pick_device, setup_logging, write_json
from reid.utils.cli import add_json_option, add_try_outs, config_parser, run_tool, with_number


def main(words: Sequence[str]) -> int:
    parser = config_parser(
        __doc__, "python tools/train.py --config vit_small_msmt.yml DATASETS.ROOT_DIR /data"
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--resume", action="store_true", help="go on from the interrupted run in OUTPUT_DIR")
    add_try_outs(ways)
    add_json_option(parser)
    args = parser.parse_intermixed_args(with_number(words, "--overfit", 100))
    cfg = load_config(args.config, args.overrides)
    with join_world(pick_device(cfg.MODEL.DEVICE).type) as world:
        setup_logging(rank=world.rank)
        run = build_run(cfg, world)
        if args.dry_run or args.overfit is not None:
            report = dry_run(run) if args.dry_run else overfit(run, args.overfit)
            if world.is_main:
                print(report.as_text())
            if world.is_main and args.json:
                write_json(args.json, report.as_dict())
            return 0 if report.is_well else 1
        setup_logging(Path(cfg.OUTPUT_DIR), rank=world.rank)
        results = run.run(args.resume)
    if not world.is_main:
        return 0
    figures = {}
    for name, evaluator in run.evaluators.items():
        protocol = evaluator.protocol(run.model).describe()
        found = {stage: by_set[name] for stage, by_set in results.items()}
        rows = [[row_name(stage), *figure_cells(result)] for stage, result in found.items()]
        print(f"{format_table(['model', *FIGURES], rows)}\nprotocol: {protocol}")
        figures[name] = {stage: result.as_dict() | {"protocol": protocol} for stage, result in found.items()}
    if args.json:
        # Of one data set the figures alone, of several by the data set's name.
        write_json(args.json, figures if len(figures) != 1 else figures.popitem()[1])
    print(f"checkpoints: {', '.join(sorted(str(p) for p in Path(cfg.OUTPUT_DIR).glob('*.pth')))}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))

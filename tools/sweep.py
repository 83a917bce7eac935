"""Sweep the intensity of closed-form denoising: mAP, Rank-1 and feature cosine over settings, and a plot.

The settings vary around that of the configuration's DENOISE keys. All are solved from one statistics file:
--statistics, or statistics.pt beside the weights, or one pass over the training images writes OUTPUT_DIR's.
Each is then one pass over the test images. With --build nothing is swept and no image is read.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine.build_comparison import SWEEP, build_files, statistics_paths, sweep_files
from reid.utils import check_output, say_once, setup_logging, write_json
from reid.utils.cli import (
    SWEEP_LISTS,
    add_json_option,
    add_sweep_lists,
    config_parser,
    run_tool,
    with_ended_lists,
)


def main(words: Sequence[str]) -> None:
    example = "python tools/sweep.py --config vit_small_msmt.yml --weights runs/vit_small_msmt/baseline.pth"
    parser = config_parser(__doc__, example)
    add = parser.add_argument
    add("--weights", metavar="FILE", type=Path, required=True, help="a model before fusion")
    add("--statistics", metavar="FILE", type=Path, help="of its layers; default: found or gathered")
    add_sweep_lists(parser)
    add(
        "--all-combinations",
        action="store_true",
        help="every value of each list with every value of the others",
    )
    add(
        "--build",
        metavar="OUT",
        type=Path,
        help="write the fused checkpoint of the configuration; sweep nothing",
    )
    add_json_option(parser)
    args = parser.parse_intermixed_args(with_ended_lists(words))
    lists = {field: getattr(args, field) for field, *_ in SWEEP_LISTS.values() if getattr(args, field)}
    if args.build and (lists or args.all_combinations):
        parser.error("--build writes the configuration's own setting: leave the lists out")
    lists |= {"targets": [(name,) for name in lists["targets"]]} if "targets" in lists else {}
    cfg = load_config(args.config, args.overrides)
    inputs = (args.weights, args.statistics, *statistics_paths(cfg, args.weights))
    made = args.build or Path(cfg.OUTPUT_DIR, SWEEP)
    check_output(made, *inputs)
    if args.json:
        check_output(args.json, *inputs, made, to_stream=True)
    setup_logging()
    with say_once():
        if args.build:
            tested = build_files(cfg, args.weights, args.statistics, args.build)
        else:
            tested = sweep_files(cfg, args.weights, args.statistics, lists, combine=args.all_combinations)
    print(tested.text)
    if args.json:
        write_json(args.json, tested.figures)


if __name__ == "__main__":
    sys.exit(run_tool(main))

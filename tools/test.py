"""Evaluate weights: baseline, + DenoiseRep- (final feature), + DenoiseRep unfused and fused, in one run."""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine.build_comparison import ModelFiles, compare_files, compare_seeds
from reid.utils import InputError, check_output, setup_logging, write_json
from reid.utils.cli import add_json_option, add_seeds_option, config_parser, run_tool


def main(words: Sequence[str]) -> None:
    parser = config_parser(
        __doc__, "python tools/test.py --config vit_small_msmt.yml --weights runs/vit_small_msmt/denoised.pth"
    )
    parser.add_argument("--weights", metavar="FILE", type=Path, help="what to evaluate; default: TEST.WEIGHT")
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        type=Path,
        help="the model before denoising; default: baseline.pth beside it",
    )
    parser.add_argument(
        "--final-only",
        metavar="PATH",
        type=Path,
        help="also a model trained with DENOISE.TARGETS feature; with --seeds the folder of its seeds",
    )
    add_seeds_option(parser, "evaluate what train.py --seeds N left in OUTPUT_DIR; mean and deviation")
    add_json_option(parser)
    parser.add_argument("--no-pictures", action="store_true", help="draw no report and no pictures")
    args = parser.parse_intermixed_args(words)
    cfg = load_config(args.config, args.overrides)
    if args.seeds and (args.weights or args.baseline):
        raise InputError(
            "--seeds takes weights and baselines from OUTPUT_DIR: leave --weights, --baseline out"
        )
    weights = args.weights or Path(cfg.TEST.WEIGHT)
    if weights == Path() and not args.seeds:
        raise InputError("no weights to evaluate: name a file with --weights or TEST.WEIGHT")
    if args.json:
        check_output(args.json, weights, args.baseline, args.final_only, to_stream=True)
    setup_logging()
    pictures = not args.no_pictures
    if args.seeds:
        tested = compare_seeds(cfg, args.seeds, args.final_only, pictures=pictures)
    else:
        files = ModelFiles(weights, args.baseline, args.final_only)
        tested = compare_files(cfg, files, pictures=pictures)
    print(tested.text)
    if args.json:
        write_json(args.json, tested.figures)


if __name__ == "__main__":
    sys.exit(run_tool(main))

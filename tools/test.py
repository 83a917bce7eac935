"""Evaluate weights: baseline, + DenoiseRep unfused, + DenoiseRep fused, in one run over the same images."""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine import compare
from reid.engine.build import build_dataset, build_evaluator
from reid.engine.illustrate import illustrate
from reid.engine.load import load_baseline, load_for_test
from reid.models import describe_training
from reid.utils import InputError, pick_device, setup_logging, write_json
from reid.utils.cli import add_json_option, config_parser, run_tool


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
    add_json_option(parser)
    parser.add_argument("--no-pictures", action="store_true", help="draw no CMC curves and ranked lists")
    args = parser.parse_intermixed_args(words)
    cfg = load_config(args.config, args.overrides)
    weights = args.weights or Path(cfg.TEST.WEIGHT)
    if weights == Path():
        raise InputError("no weights to evaluate: name a file with --weights or TEST.WEIGHT")
    setup_logging()
    model, header = load_for_test(cfg, weights)
    baseline, source = load_baseline(cfg, model, weights, args.baseline)
    dataset = build_dataset(cfg, train=False)
    device = pick_device(cfg.MODEL.DEVICE)
    training = describe_training(header.training, dataset.title)
    evaluator = build_evaluator(cfg, dataset, header.preprocessing, device, training)
    comparison = compare(model, baseline, evaluator, is_fused=header.state == "fused")
    print(comparison.as_text())
    print(f"baseline: {source}")
    if args.json:
        write_json(args.json, comparison.as_dict() | {"baseline": source, "weights": str(weights)})
    if not args.no_pictures:
        print(f"pictures: {', '.join(map(str, illustrate(comparison, evaluator, Path(cfg.OUTPUT_DIR))))}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

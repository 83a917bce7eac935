"""Evaluate weights: baseline, + DenoiseRep unfused, + DenoiseRep fused, in one run over the same images."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine import compare
from reid.engine.build_data import build_datasets, build_evaluators
from reid.engine.illustrate import illustrate
from reid.engine.load import load_baseline, load_for_test
from reid.models.inference import InferenceOptions
from reid.utils import InputError, check_output, pick_device, setup_logging, write_json
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
    if args.json:
        check_output(args.json, weights, args.baseline, to_stream=True)
    setup_logging()
    model, header = load_for_test(cfg, weights)
    baseline, source = load_baseline(cfg, model, weights, args.baseline, is_fused=header.state == "fused")
    device = pick_device(cfg.MODEL.DEVICE)
    datasets = build_datasets(cfg, train=False)
    evaluators = build_evaluators(cfg, datasets, header.preprocessing, device, header.training)
    if not evaluators:
        raise InputError(f"{', '.join(datasets)} must have query and gallery images, none has; check them")
    options = InferenceOptions(cfg.TEST.DTYPE, cfg.MODEL.CHANNELS_LAST, cfg.TEST.COMPILE)
    comparisons = {
        name: compare(model, baseline, evaluator, is_fused=header.state == "fused", options=options)
        for name, evaluator in evaluators.items()
    }
    for comparison in comparisons.values():
        print(comparison.as_text())
    print(f"baseline: {source}")
    # Of one data set the figures and pictures by themselves, of several by the data set's name.
    several = len(comparisons) > 1
    figures = {name: comparison.as_dict() for name, comparison in comparisons.items()}
    if args.json:
        found = figures if several else figures.popitem()[1]
        write_json(args.json, found | {"baseline": source, "weights": str(weights)})
    for name, comparison in [] if args.no_pictures else comparisons.items():
        folder = Path(cfg.OUTPUT_DIR, re.sub(r"[^\w.-]+", "_", name) if several else "")
        print(f"pictures: {', '.join(map(str, illustrate(comparison, evaluators[name], folder)))}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

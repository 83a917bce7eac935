"""Adapt a trained model to a site's own cameras, from unlabelled images: camera-noise denoising.

Images need a camera number and no identity. Where the list has query and gallery images too, the model is
evaluated before and after. All settings, and whether to adapt at all, are chosen without labels; ADAPT.K 3
and the like set them. With --features, features of any project take the images' place.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

from yacs.config import CfgNode

from reid.config import load_config
from reid.engine.adapt import adapt
from reid.engine.adapt_files import adapt_files
from reid.engine.build_data import build_adapt_settings, build_file_settings, build_site
from reid.engine.load import load_to_adapt
from reid.models import save_checkpoint
from reid.utils import check_output, pick_device, setup_logging, write_json
from reid.utils.cli import add_adapt_options, add_json_option, config_parser, run_tool


def main(words: Sequence[str]) -> None:
    example = "python tools/adapt.py --weights osnet.pth --images site.csv --out adapted.pth"
    parser = config_parser(__doc__, example, is_required=False)
    add_adapt_options(parser)
    add_json_option(parser)
    args = parser.parse_intermixed_args(words)
    given = [args.weights is not None, args.images is not None, args.features is not None]
    if given not in ([True, True, False], [False, False, True]) or (args.denoise and not given[2]):
        parser.error("name --weights and --images, or --features, with --denoise if you like")
    inputs = (args.features, *chain(*args.denoise)) if given[2] else (args.weights, args.root / args.images)
    check_output(args.out, *inputs)
    if args.json:
        check_output(args.json, args.out, *inputs, to_stream=True)
    cfg = load_config(args.config, args.overrides)
    setup_logging()
    figures = of_files(args, cfg) if given[2] else of_images(args, cfg)
    if args.json:
        write_json(args.json, figures)


def of_files(args: argparse.Namespace, cfg: CfgNode) -> dict[str, Any]:
    found = adapt_files(args.features, args.out, build_file_settings(cfg), args.denoise)
    print(found.as_text())
    return found.as_dict()


def of_images(args: argparse.Namespace, cfg: CfgNode) -> dict[str, Any]:
    settings = build_adapt_settings(cfg)
    model, header = load_to_adapt(cfg, args.weights, is_configured=args.config is not None)
    device = pick_device(cfg.MODEL.DEVICE)
    site = build_site(cfg, args.images, args.root, header, device)
    adaptation = adapt(model, header, site.images, device, settings)
    print(adaptation.as_text())
    comparison = site.compare(model, adaptation) if site.evaluator else None
    if comparison:
        print(comparison.as_text())
    save_checkpoint(args.out, adaptation.model, site.header_of(adaptation))
    print(f"wrote {args.out}")
    return (comparison.as_dict() if comparison else {}) | adaptation.as_dict()


if __name__ == "__main__":
    sys.exit(run_tool(main))

"""Adapt a trained model to a site's own cameras, from unlabelled images: camera-noise denoising.

Images need a camera number and no identity. Where the list has query and gallery images too, the model is
evaluated before and after. k, r, BatchNorm and whether to adapt at all are chosen without labels.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reid.engine.adapt import AdaptSettings, adapt
from reid.engine.build_data import build_site
from reid.models import load_any, save_checkpoint
from reid.utils import check_output, pick_device, setup_logging, write_json
from reid.utils.cli import OneLineParser, add_json_option, run_tool


def main(words: Sequence[str]) -> None:
    parser = OneLineParser(
        description=__doc__,
        epilog="example: python tools/adapt.py --weights osnet.pth --images site.csv --out adapted.pth",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", metavar="FILE", type=Path, required=True, help="any known format")
    parser.add_argument("--images", metavar="CSV", required=True, help="a list, or a data set under --root")
    parser.add_argument("--root", metavar="DIR", type=Path, default=Path(), help="its folder; default: here")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--k", metavar="K", type=int, help="neighbours an image; default: chosen")
    parser.add_argument("--shrinkage", metavar="R", type=float, help="r; default: chosen")
    parser.add_argument(
        "--batchnorm", choices=["auto", "on", "off"], default="auto", help="re-estimate its statistics"
    )
    parser.add_argument("--no-cameras", action="store_true", help="pair images whatever their cameras")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--batch-size", metavar="N", type=int, default=64)
    add_json_option(parser)
    args = parser.parse_args(words)
    inputs = (args.weights, args.root / args.images)
    check_output(args.out, *inputs)
    if args.json:
        check_output(args.json, args.out, *inputs, to_stream=True)
    setup_logging()
    given = {"k": args.k, "shrinkage": args.shrinkage}
    settings = AdaptSettings(
        **{name: value for name, value in given.items() if value is not None},
        choose=args.k is None and args.shrinkage is None and not args.no_cameras,
        batchnorm=args.batchnorm,
        use_cameras=not args.no_cameras,
    )
    model, header = load_any(args.weights)
    device = pick_device(args.device)
    site = build_site(args.images, args.root, header, device, args.batch_size)
    adaptation = adapt(model, site.images, site.shuffled, device, settings, knows_cameras=site.knows_cameras)
    print(adaptation.as_text())
    figures = adaptation.as_dict()
    if site.evaluator is not None:
        comparison = site.compare(model, adaptation.model)
        print(comparison.as_text())
        figures |= comparison.as_dict()
    save_checkpoint(args.out, adaptation.model, site.header_of(adaptation))
    print(f"wrote {args.out}")
    if args.json:
        write_json(args.json, figures)


if __name__ == "__main__":
    sys.exit(run_tool(main))

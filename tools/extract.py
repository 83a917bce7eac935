"""Write the features of images to a file: features (N, D), paths, pids and camids (-1 unknown), as .npz.

Images are a folder with all folders below it (identities and cameras unknown), a CSV list, or a data set.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.engine.extract import extract
from reid.engine.extract_parts import ExtractSettings
from reid.engine.image_list import SPLITS, read_image_list
from reid.evaluation.feature_files import check_feature_output
from reid.models import load_any
from reid.utils import check_output, pick_device, setup_logging, write_json
from reid.utils.cli import add_json_option, run_tool, tool_parser


def main(words: Sequence[str]) -> None:
    parser = tool_parser(
        __doc__, "python tools/extract.py --weights osnet.pth --images crops/ --out crops.npz"
    )
    add = parser.add_argument
    add("--weights", metavar="FILE", type=Path, required=True, help="any known format")
    add("--images", metavar="DIR|CSV|DATASET", required=True, help="a folder, a list, or a data set's name")
    add("--root", metavar="DIR", type=Path, default=Path(), help="what it lies under; default: here")
    add("--split", choices=SPLITS, default="all", help="of a list or a data set; default: all")
    add("--trial", metavar="N", type=int, help="whose query or gallery, of a data set with several trials")
    add("--out", metavar="FILE", type=Path, required=True, help="the .npz to write")
    add("--batch-size", metavar="N", type=int, default=64)
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--flip", action="store_true", help="the mean over an image and its mirror image; twice the time")
    add(
        "--on-corrupt",
        choices=["refuse", "skip"],
        default="refuse",
        help="stop at an image that cannot be read, or leave it out and name it; default: refuse",
    )
    add("--resume", action="store_true", help="go on from OUT.parts after an interruption")
    add_json_option(parser)
    args = parser.parse_args(words)
    inputs = (args.weights, args.root / args.images)
    check_feature_output(args.out, *inputs)
    if args.json:
        check_output(args.json, args.out, *inputs, to_stream=True)
    settings = ExtractSettings(args.batch_size, args.flip, args.on_corrupt, args.resume)
    setup_logging()
    device = pick_device(args.device)
    images = read_image_list(args.images, args.root, args.split, args.trial)
    model, header = load_any(args.weights)
    extraction = extract(model, header.preprocessing, images, args.out, device, settings)
    print(extraction.as_text())
    print(f"wrote {args.out}")
    if args.json:
        write_json(args.json, extraction.as_dict() | {"out": str(args.out), "weights": str(args.weights)})


if __name__ == "__main__":
    sys.exit(run_tool(main))

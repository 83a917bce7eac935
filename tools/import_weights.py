"""Turn weights of another code base into a checkpoint of this toolkit, and say what became of every key.

Known are TransReID, TransReID-SSL, DenoiseRep's authors, fast-reid, torchreid, CLIP-ReID, timm, DeiT and
torchvision; not every network of theirs can be built here.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reid.models import save_checkpoint
from reid.models.formats import FAMILIES, convert, detect, read_weights
from reid.utils import InputError
from reid.utils.cli import OneLineParser, run_tool

UNSAFE = "also read old pickles that hold more than tensors; this may run code that the file contains"


def main(words: Sequence[str]) -> None:
    parser = OneLineParser(
        description=__doc__,
        epilog="example: python tools/import_weights.py osnet_x0_25_market1501.pth osnet.pth",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="IN", type=Path, help="the file to read")
    parser.add_argument("target", metavar="OUT", type=Path, help="the checkpoint to write")
    parser.add_argument(
        "--family", choices=[f.name for f in FAMILIES], help="whose file it is; default: told by its keys"
    )
    parser.add_argument(
        "--classes", metavar="N", type=int, help="refuse a file of another number of identities"
    )
    parser.add_argument(
        "--size", metavar=("H", "W"), nargs=2, type=int, help="image size; default: the one it was trained at"
    )
    parser.add_argument("--allow-unsafe", action="store_true", help=UNSAFE)
    args = parser.parse_args(words)
    if args.source.resolve() == args.target.resolve():
        raise InputError(f"OUT must be another file than IN, got {args.target} for both")
    if args.allow_unsafe:
        sys.stderr.write(f"--allow-unsafe: code in {args.source} may run\n")
    tensors = read_weights(args.source, args.allow_unsafe)
    form = detect({key: tuple(value.shape) for key, value in tensors.items()}, args.family)
    if args.classes not in (None, form.num_classes):
        raise InputError(
            f"{args.source} must have {args.classes} identities (--classes), it has {form.num_classes}"
        )
    imported = convert(tensors, form, args.source, tuple(args.size) if args.size else None)
    save_checkpoint(args.target, imported.model, imported.header)
    model, images = imported.header.model, imported.header.preprocessing
    print(form.describe())
    print(imported.report.describe())
    size = "x".join(map(str, images.size))
    print(f"images: {size}, {images.interpolation}, mean {images.mean}, std {images.std}")
    print(f"wrote {args.target}, for MODEL.NAME {model.name} TEST.NECK_FEAT {model.neck_feat}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

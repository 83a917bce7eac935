"""Turn weights of another code base into a checkpoint of this toolkit, and say what became of every key.

Known are TransReID, TransReID-SSL, DenoiseRep's authors, fast-reid, torchreid, CLIP-ReID, timm, DeiT and
torchvision; not every network of theirs can be built here.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.models import save_checkpoint
from reid.models.formats import FAMILIES, ImportOptions, convert, detect_in, read_weights
from reid.models.words import config_words, describe_model
from reid.utils import InputError, check_output
from reid.utils.cli import run_tool, tool_parser

UNSAFE = "also read TorchScript and old pickles; this may run code that the file contains"


def main(words: Sequence[str]) -> None:
    parser = tool_parser(__doc__, "python tools/import_weights.py osnet_x0_25_market1501.pth osnet.pth")
    add = parser.add_argument
    add("source", metavar="IN", type=Path, help="the file to read")
    add("target", metavar="OUT", type=Path, help="the checkpoint to write; .pth or .safetensors")
    add("--family", choices=[f.name for f in FAMILIES], help="whose file it is; default: told by its keys")
    add("--classes", metavar="N", type=int, help="refuse a file of another number of identities")
    add("--size", metavar=("H", "W"), nargs=2, type=int, help="image size; default: that of the training")
    add("--gem", action="store_true", help="pooling is a generalised mean that the keys do not show")
    add("--views", metavar="V", type=int, default=0, help="views among the rows of side information")
    add("--sie-coef", metavar="C", type=float, help="factor on side information; default 3.0, CLIP-ReID 1.0")
    add("--shift", metavar="S", type=int, help="of jigsaw branches; default 5, VehicleID 8")
    add("--allow-unsafe", action="store_true", help=UNSAFE)
    args = parser.parse_args(words)
    check_output(args.target, args.source)
    if args.allow_unsafe:
        sys.stderr.write(f"--allow-unsafe: code in {args.source} may run\n")
    tensors = read_weights(args.source, args.allow_unsafe)
    form = detect_in(tensors, args.source, args.family)
    if args.classes not in (None, form.num_classes):
        raise InputError(
            f"{args.source} must have {args.classes} identities (--classes), it has {form.num_classes}"
        )
    size = tuple(args.size) if args.size else None
    options = ImportOptions(size, args.gem, args.views, args.sie_coef, args.shift)
    imported = convert(tensors, form, args.source, options)
    save_checkpoint(args.target, imported.model, imported.header)
    model, images = imported.header.model, imported.header.preprocessing
    print(form.describe())
    print(imported.report.describe())
    print(f"model: {describe_model(model)}")
    if imported.header.state == "fused":
        print("denoisers: fused by the authors' code already, and never to be fused again")
    sides = "x".join(map(str, images.size))
    print(f"images: {sides}, {images.interpolation}, mean {images.mean}, std {images.std}")
    print(f"wrote {args.target}; to train on from it: {config_words(model)}")
    print(f"to evaluate it: tools/test.py --config YOURS --weights {args.target} MODEL.NAME {model.name}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

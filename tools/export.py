"""Write a model for another runtime: plain weights, ONNX, TorchScript or torch.export; fused, and compared.

The file is kept only if its features equal the model's, in batches of 1, 2 and 5 images.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from reid.engine.image_list import read_image_list
from reid.export import FORMATS, KEYS, Settings, export_model, pick_format
from reid.models import Preprocessing, load_any
from reid.utils import InputError, check_output
from reid.utils.cli import run_tool, tool_parser


def main(words: Sequence[str]) -> None:
    parser = tool_parser(__doc__, "python tools/export.py --weights runs/demo/denoised.pth --out demo.onnx")
    add = parser.add_argument
    add("--weights", metavar="FILE", type=Path, required=True, help="any known format")
    add("--out", metavar="FILE", type=Path, required=True, help="the file to write")
    add("--format", choices=FORMATS, help="default: told by the suffix, .onnx, .pt2 or .ts")
    add("--keys", choices=KEYS, help="whose keys plain weights have; default: timm")
    add("--with-preprocessing", action="store_true", help="take RGB 0..255 of the model's size")
    add("--images", metavar="DIR|CSV", help="images to compare on; default: drawn ones")
    add("--tolerance", metavar="T", type=float, default=1e-4, help="largest relative difference; 1e-4")
    args = parser.parse_args(words)
    inputs = (args.weights, Path(args.images)) if args.images is not None else (args.weights,)
    check_output(args.out, *inputs)
    form = pick_format(args.out, args.format)
    if args.keys and form != "plain":
        raise InputError(f"--keys is of plain weights, the format is {form}; leave it out")
    keys = args.keys or "timm"
    settings = Settings(form, keys, args.with_preprocessing, args.tolerance)
    model, header = load_any(args.weights)
    images = _images(args.images, header.preprocessing, args.with_preprocessing)
    difference = export_model(model, header.preprocessing, args.out, images, settings)
    if model.spec.side or model.spec.site:
        print("cameras: the features that were compared are those of no camera, the mean over all")
    if form == "plain":
        is_resnet = "resnet" in model.spec.name
        held = "backbone, necks and classifiers" if keys == "transreid" else "the backbone alone"
        told = f"; the keys do not tell its last stride, {model.spec.last_stride}" if is_resnet else ""
        print(f"holds: {held}{told}\nimages: {header.preprocessing.describe()}")
    source = args.images or "drawn images"
    print(f"largest difference on {source}: {difference.absolute:.1e}, relative {difference.relative:.1e}")
    print(f"wrote {args.out} ({form})")


def _images(source: str | None, preprocessing: Preprocessing, is_raw: bool) -> torch.Tensor:
    height, width = preprocessing.size
    if source is None:
        pixels = np.random.default_rng(0).integers(0, 256, (5, height, width, 3), np.uint8)
        pictures: list[Image.Image | Path] = [Image.fromarray(image) for image in pixels]
    else:
        records = read_image_list(source, Path()).records
        pictures = [records.path(row) for row in range(min(5, len(records)))]
    if not pictures:
        raise InputError(f"{source} holds no images to compare on")
    prepared = torch.stack([preprocessing(picture) for picture in pictures])
    mean, std = (torch.tensor(three)[:, None, None] for three in (preprocessing.mean, preprocessing.std))
    return (prepared * std + mean) * 255 if is_raw else prepared


if __name__ == "__main__":
    sys.exit(run_tool(main))

"""What another resize than the model's costs: real vehicles, embedded after Pillow's and after OpenCV's.

The model sees images that Pillow resized, antialiased. Code around an exported model often calls cv2.resize,
whose modes are not, or not in the same way. Each row is the same model and test images, with its difference
to the first row and the 95 % interval of a paired bootstrap over queries, and the cosine to its features.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from real_images import BATCH, NAME, WEIGHTS, WORKERS
from support import describe_device
from torch import Tensor
from torch.nn import functional as F

from reid.data import load_dataset
from reid.data.loaders import plain_loader
from reid.engine.evaluate import Evaluator
from reid.evaluation import FIGURES, bootstrap_difference, figure_cells, format_table
from reid.models import Preprocessing, load_any
from reid.utils import setup_logging, write_json
from reid.utils.cli import add_json_option, run_tool, tool_parser

MODES = {
    "Pillow, as the model's": None,
    "cv2.INTER_LINEAR": cv2.INTER_LINEAR,
    "cv2.INTER_AREA": cv2.INTER_AREA,
    "cv2.INTER_CUBIC": cv2.INTER_CUBIC,
    "cv2.INTER_NEAREST": cv2.INTER_NEAREST,
}


def prepare(prepared: Preprocessing, mode: int | None, image: Image.Image) -> Tensor:
    """An image as (3, H, W), resized by Pillow or in a mode of OpenCV; of its own size Pillow keeps it."""
    if mode is None:
        return prepared(image)
    height, width = prepared.size
    return prepared(Image.fromarray(cv2.resize(np.asarray(image), (width, height), interpolation=mode)))


def main(words: Sequence[str]) -> None:
    parser = tool_parser(__doc__, "python benchmarks/resize.py --shared ../shared --json resize.json")
    parser.add_argument(
        "--shared", metavar="DIR", type=Path, default=Path("../shared"), help="holds data/ and weights/"
    )
    add_json_option(parser)
    args = parser.parse_args(words)
    setup_logging()
    model, header = load_any(args.shared / WEIGHTS)
    dataset = load_dataset(NAME, args.shared / "data")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(describe_device(device))
    rows: list[list[str]] = []
    figures: dict[str, Any] = {}
    first = None
    for name, mode in MODES.items():
        transform = partial(prepare, header.preprocessing, mode)
        loader = plain_loader(dataset.test, transform, BATCH, WORKERS)
        evaluator = Evaluator(dataset, loader, "cosine", device, "trained on Market-1501 (people)")
        features = evaluator.extract(model)
        result = evaluator.evaluate(features)
        first = first or (features, result)
        gain = bootstrap_difference(first[1], result)
        cosines = F.cosine_similarity(features.feats, first[0].feats)
        told = [gain.in_points(), f"{cosines.mean():.3f}, lowest {cosines.min():.3f}"]
        rows.append([name, *figure_cells(result), *(told if rows else ["", ""])])
        figures[name] = result.as_dict() | {
            "mAP_gain": gain.difference,
            "mAP_gain_interval": [gain.low, gain.high],
            "cosine": float(cosines.mean()),
            "lowest_cosine": float(cosines.min()),
        }
    print(format_table(["resize", *FIGURES, "mAP less Pillow's", "cosine to Pillow's"], rows))
    if args.json:
        write_json(args.json, figures)


if __name__ == "__main__":
    sys.exit(run_tool(main))

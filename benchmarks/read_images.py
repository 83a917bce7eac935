"""Reading images by Pillow and by OpenCV, alone and with the evaluation transform, interleaved in one run.

python benchmarks/read_images.py FOLDER [--rounds N]

Each image is read by every way in random order, and its fastest round counts. Measured on one busy core with
Pillow 13.0 and OpenCV 5.0: 400 images of vehicles2cam (JPEG, 180x173 on average), 400 drawn people (JPEG,
64x128), and 300 of these as PNG. Milliseconds an image, and speed as a multiple of Pillow's convert("RGB"):

                     convert   read_image     OpenCV to Pillow   OpenCV, no copy   resized: read_image, OpenCV
    vehicles2cam     0.424     0.393 (1.08)   0.372 (1.14)       0.281 (1.51)      1.376, 1.356
    drawn, JPEG      0.165     0.152 (1.09)   0.124 (1.33)       0.095 (1.74)      0.692, 0.633
    drawn, PNG       0.339     0.318 (1.06)   0.304 (1.11)       0.259 (1.31)      0.997, 0.965

OpenCV decodes faster, but Pillow's antialiased resize, which the published features were made with, needs its
image back, and that copy costs most of the gain: 1 % to 9 % of a resized image's time remain, less of an
augmented one's. That does not pay for a second decoder with other rules for CMYK, 16 bits and transparency,
so Pillow reads. On these images the two agreed in every pixel.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from reid.data import read_image, test_transform
from reid.evaluation import format_table

MOST = 400

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path, help="images are looked for in it and below")
parser.add_argument("--rounds", type=int, default=15, help="the fastest counts (default 15)")
args = parser.parse_args()
folder, rounds = args.folder, args.rounds
torch.set_num_threads(1)
cv2.setNumThreads(1)
paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:MOST]
if not paths or rounds < 1:
    parser.error(f"{folder} must hold .jpg or .png images and rounds be at least 1")
transform = test_transform((256, 128), [0.5] * 3, [0.5] * 3)


def convert(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def opencv_pixels(path: Path) -> np.ndarray:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def opencv(path: Path) -> Image.Image:
    return Image.fromarray(opencv_pixels(path))


ways = {
    "Pillow, convert": convert,
    "read_image": read_image,
    "OpenCV to Pillow": opencv,
    "OpenCV, no copy": opencv_pixels,
    "read_image and resize": lambda path: transform(read_image(path)),
    "OpenCV to Pillow and resize": lambda path: transform(opencv(path)),
}
best = {name: np.full(len(paths), np.inf) for name in ways}
rng = np.random.default_rng(0)
for _ in range(rounds):
    for place, path in enumerate(paths):
        # In random order: what was read just before leaves warm memory behind.
        for name in rng.permutation(list(ways)):
            way = ways[name]
            start = time.perf_counter()
            way(path)
            best[name][place] = min(best[name][place], time.perf_counter() - start)
first = best["Pillow, convert"].mean()
rows = [[name, f"{1e3 * times.mean():.3f}", f"{first / times.mean():.2f}"] for name, times in best.items()]
print(format_table([f"{len(paths)} images", "ms an image", "x convert"], rows))
gaps = [np.abs(np.asarray(read_image(path)).astype(int) - opencv_pixels(path)) for path in paths]
print(
    f"OpenCV to Pillow: largest difference {max(gap.max() for gap in gaps)} levels,"
    f" mean {np.mean([gap.mean() for gap in gaps]):.4f}"
)

"""A gallery of many drawn features: seconds to fill, search, change, keep and read it, and memory."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from support import Seconds, clock, describe_machine, draw_side, peak_mb, size_parser
from torch import Tensor

from reid import Gallery
from reid.utils.cli import run_tool


def main(words: Sequence[str]) -> None:
    sizes = {"images": 1_000_000, "width": 512, "identities": 100_000, "queries": 100, "removed": 1000}
    parser = size_parser(__doc__, "python benchmarks/gallery.py --images 100000 --identities 10000", **sizes)
    args = parser.parse_args(words)
    side = draw_side(args.images, args.width, args.identities, seed=1)
    query = draw_side(args.queries, args.width, args.identities, seed=2).feats
    drawn, rows = peak_mb() / 1024, {}
    gallery = fill(Gallery(args.width), side.feats, rows)
    filled, feats = peak_mb() / 1024, side.feats[: args.removed].clone()
    del side  # so that its gigabytes are not counted beside the file that is read
    numbers = np.arange(len(feats))
    rows["search for one"] = clock(lambda: gallery.search(query[0], 10))
    rows[f"search for {args.queries}"] = clock(lambda: gallery.search(query, 10))
    rows[f"remove {args.removed}"] = clock(lambda: gallery.remove(numbers))
    rows[f"add {args.removed}"] = clock(lambda: gallery.add(feats, numbers))
    is_same = keep_and_read(gallery, query, rows)
    print(f"{args.images} features of {args.width} numbers, the 10 nearest of each query")
    for name, seconds in rows.items():
        print(f"{name:20} {seconds.wall:8.3f} s   {seconds.cpu:8.3f} s of all threads")
    print(f"the file that was read finds {'the same' if is_same else 'OTHER FEATURES'}")
    print(
        f"peak {drawn:.1f} GB with the drawn features, {filled:.1f} GB once filled, {peak_mb() / 1024:.1f} GB"
        f" in all; {describe_machine()}"
    )


def fill(gallery: Gallery, feats: Tensor, rows: dict[str, Seconds]) -> Gallery:
    rows["fill"] = clock(lambda: gallery.add(feats, np.arange(len(feats))))
    return gallery


def keep_and_read(gallery: Gallery, query: Tensor, rows: dict[str, Seconds]) -> bool:
    """Whether the gallery that was read from a file finds what the one that was saved does."""
    read: list[Gallery] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.npz"
        rows["save"] = clock(lambda: gallery.save(path))
        rows["read"] = clock(lambda: read.append(Gallery.load(path)))
    return torch.equal(gallery.search(query, 10)[0], read[0].search(query, 10)[0])


if __name__ == "__main__":
    sys.exit(run_tool(main))

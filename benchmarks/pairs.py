"""Pairs across cameras among many drawn images: seconds, memory, and how many of them show one identity."""

import sys
from collections.abc import Sequence

from support import clock, describe_machine, draw_side, peak_mb, size_parser

from reid.adaptation import cross_camera_pairs
from reid.adaptation.scaling import normalise
from reid.utils.cli import run_tool


def main(words: Sequence[str]) -> None:
    sizes = {"images": 1_000_000, "width": 512, "identities": 100_000, "neighbours": 2}
    parser = size_parser(__doc__, "python benchmarks/pairs.py --images 200000 --identities 20000", **sizes)
    args = parser.parse_args(words)
    side = draw_side(args.images, args.width, args.identities, seed=1)
    features, pids, camids = normalise(side.feats.numpy()), side.pids.numpy(), side.camids.numpy()
    del side
    found = []
    seconds = clock(lambda: found.append(cross_camera_pairs(features, camids, args.neighbours)))
    (pairs,) = found
    right = (pids[pairs[:, 0]] == pids[pairs[:, 1]]).mean() if len(pairs) else 0.0
    print(f"{args.images} images of {args.width} numbers: {len(pairs)} pairs, {right:.1%} of one identity")
    print(
        f"{seconds.wall:.0f} s, {seconds.cpu:.0f} s of all threads; peak {peak_mb() / 1024:.1f} GB in all,"
        f" the features and their drawing included; {describe_machine()}"
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))

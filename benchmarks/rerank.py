"""Sparse k-reciprocal re-ranking against the dense definition of tests/support, in one run.

The defaults are Market-1501's numbers of images. The dense one holds several matrices of all images by all
images: --sparse-only leaves it out where they do not fit. The peak is that of the sparse one, above the
features that it is given.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from support import clock, describe_machine, draw_side, peak_mb, ratio_cells, size_parser

from reid.evaluation import format_table, reranked_distances
from reid.utils.cli import run_tool

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from dense_rerank import dense_rerank


def main(words: Sequence[str]) -> None:
    sizes = {"queries": 3368, "gallery": 15913, "width": 256, "identities": 751, "rounds": 1}
    parser = size_parser(__doc__, "python benchmarks/rerank.py --queries 500 --gallery 3000", **sizes)
    parser.add_argument("--sparse-only", action="store_true", help="leave the dense definition out")
    args = parser.parse_args(words)
    query = draw_side(args.queries, args.width, args.identities, seed=1).feats
    gallery = draw_side(args.gallery, args.width, args.identities, seed=2).feats
    before = peak_mb()
    sparse = [clock(lambda: sum(len(chunk) for chunk in reranked_distances(query, gallery)))]
    peak = peak_mb() - before
    rows, base = {"sparse": sparse}, sparse
    if not args.sparse_only:
        base = rows["dense"] = []
        for turn in range(args.rounds):
            base.append(clock(lambda: dense_rerank(query.numpy(), gallery.numpy(), dtype=np.float32)))
            if turn:
                sparse.append(clock(lambda: sum(len(chunk) for chunk in reranked_distances(query, gallery))))
    title = f"{args.queries} + {args.gallery}, {args.width}-d"
    cells = [[name, *ratio_cells(seconds, base)] for name, seconds in rows.items()]
    to = "x sparse" if args.sparse_only else "x dense"
    print(format_table([title, "seconds", to, "CPU seconds", to], cells))
    print(f"peak of the sparse one above the features: {peak:.0f} MB; {describe_machine()}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

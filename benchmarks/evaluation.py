"""Exact mAP, mINP and CMC of a whole gallery, by both backends, against faiss's 50 nearest, in one run.

The defaults are MSMT17's numbers of images. Each round times all on the same drawn features, in turn, and
ratios are taken within a round. Peaks are those of the evaluations, torch's first, above the features that
they are given.
"""

import sys
from collections.abc import Sequence

import faiss
from support import clock, describe_machine, draw_side, peak_mb, ratio_cells, size_parser

from reid.evaluation import BACKENDS, evaluate_retrieval, format_table
from reid.utils.cli import run_tool

K = 50


def main(words: Sequence[str]) -> None:
    sizes = {"queries": 11659, "gallery": 82161, "width": 768, "identities": 3060, "rounds": 3}
    args = size_parser(__doc__, "python benchmarks/evaluation.py --queries 2000", **sizes).parse_args(words)
    query = draw_side(args.queries, args.width, args.identities, seed=1)
    gallery = draw_side(args.gallery, args.width, args.identities, seed=2)
    columns = [column for pair in zip(query, gallery, strict=True) for column in pair]
    before = peak_mb()
    peaks = []
    for backend in BACKENDS:
        evaluate_retrieval(*columns, backend=backend)
        peaks.append(peak_mb() - before)
    arrays = query.feats.numpy(), gallery.feats.numpy()
    calls = {
        f"faiss.knn, k = {K}": lambda: faiss.knn(*arrays, K, metric=faiss.METRIC_INNER_PRODUCT),
        "evaluate_retrieval": lambda: evaluate_retrieval(*columns),
        "evaluate_retrieval, faiss": lambda: evaluate_retrieval(*columns, backend="faiss"),
    }
    times = {name: [] for name in calls}
    for turn in range(args.rounds):
        for name in list(calls)[:: 1 - 2 * (turn % 2)]:
            times[name].append(clock(calls[name]))
    base = next(iter(times.values()))
    rows = [[name, *ratio_cells(seconds, base)] for name, seconds in times.items()]
    title = f"{args.queries} x {args.gallery}, {args.width}-d"
    print(format_table([title, "seconds", "x faiss", "CPU seconds", "x faiss"], rows))
    held = f"{peaks[0]:.0f} MB, with faiss after it {peaks[1]:.0f} MB"
    print(f"peak above the features: {held}; medians of {args.rounds} rounds; {describe_machine()}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

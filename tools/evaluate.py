"""Evaluate features of any project: mAP, mINP and CMC from feature files alone (.npz, .mat or .pt).

A file holds features (N, D), pids and camids (-1 unknown); one with query_f, gallery_f and their labels has
both sides. With --against-..., features of the same images by another model are compared with these.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.engine.evaluate_files import evaluate_files, read_sides
from reid.evaluation import BACKENDS, INDEXES, METRICS, ReRanking
from reid.utils import InputError, check_output, setup_logging, write_json
from reid.utils.cli import add_json_option, run_tool, tool_parser

NUMBERS = ("k1", "k2", "lambda_value")
APPROXIMATE = [name for name in INDEXES if name != "flat"]


def main(words: Sequence[str]) -> None:
    parser = tool_parser(__doc__, "python tools/evaluate.py --query query.npz --gallery gallery.npz --rerank")
    add, default = parser.add_argument, ReRanking()
    for start, whose in (("", ""), ("against-", "the other model's ")):
        add(f"--{start}query", metavar="FILE", type=Path, help=f"{whose}features of the queries")
        add(f"--{start}gallery", metavar="FILE", type=Path, help=f"{whose}features of the gallery")
        add(f"--{start}features", metavar="FILE", type=Path, help=f"{whose}features of both, in one file")
    add("--metric", choices=METRICS, default="cosine", help="default: cosine")
    add("--rerank", action="store_true", help="re-rank by k-reciprocal neighbours")
    add("--k1", metavar="N", type=int, help=f"of re-ranking; default: {default.k1}")
    add("--k2", metavar="N", type=int, help=f"of re-ranking; default: {default.k2}")
    add(
        "--lambda",
        dest="lambda_value",
        metavar="X",
        type=float,
        help=f"weight of the plain distance; default: {default.lambda_value}",
    )
    add("--backend", choices=BACKENDS, default="torch", help="what ranks, exactly; default: torch")
    add("--index", choices=APPROXIMATE, help="also measure how many of the nearest such an index finds")
    add("--max-rank", metavar="N", type=int, default=50, help="length of the CMC curve; default: 50")
    add_json_option(parser)
    args = parser.parse_args(words)
    own = (args.query, args.gallery, args.features)
    others = (args.against_query, args.against_gallery, args.against_features)
    if args.json:
        check_output(args.json, *own, *others, to_stream=True)
    given = {name: getattr(args, name) for name in NUMBERS if getattr(args, name) is not None}
    if given and not args.rerank:
        raise InputError("--k1, --k2 and --lambda are of re-ranking; add --rerank")
    reranking = ReRanking(**given) if args.rerank else None
    setup_logging()
    sides = read_sides(*own)
    if sides is None:
        raise InputError("no features to evaluate: name --query and --gallery, or --features")
    options = {"metric": args.metric, "reranking": reranking, "max_rank": args.max_rank}
    options |= {"backend": args.backend, "index": args.index}
    comparison = evaluate_files(sides, read_sides(*others), **options)
    print(comparison.as_text())
    if args.json:
        write_json(args.json, comparison.as_dict())


if __name__ == "__main__":
    sys.exit(run_tool(main))

"""Draw a small set of people in the layout of a data set, to try everything without a download."""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.data import LAYOUTS, load_dataset, write_synthetic
from reid.utils.cli import OneLineParser, run_tool


def main(words: Sequence[str]) -> None:
    parser = OneLineParser(
        description=__doc__, epilog="example: python tools/make_synthetic.py --out datasets/synthetic"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new or empty folder")
    parser.add_argument(
        "--layout",
        metavar="NAME",
        default="market1501",
        help=f"{', '.join(LAYOUTS)} (default market1501)",
    )
    parser.add_argument("--train-ids", type=int, default=64, help="identities to train on (default 64)")
    parser.add_argument("--test-ids", type=int, default=48, help="identities to test on (default 48)")
    parser.add_argument("--cameras", type=int, help="cameras (default 4; CUHK03 has 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the drawing (default 0)")
    args = parser.parse_args(words)
    write_synthetic(
        args.layout,
        args.out,
        num_train_ids=args.train_ids,
        num_test_ids=args.test_ids,
        num_cameras=args.cameras,
        seed=args.seed,
    )
    dataset = load_dataset(LAYOUTS[args.layout].dataset, args.out)
    trial = dataset.trials[0]
    print(
        f"{args.out}: {len(dataset.train)} training images of {dataset.train.num_pids} identities,"
        f" {len(trial.query)} queries, {len(trial.gallery)} gallery images"
    )


if __name__ == "__main__":
    sys.exit(run_tool(main))

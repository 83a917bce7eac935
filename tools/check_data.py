"""Check data sets on disk: counts beside the published ones, unreadable images, images in two places.

Every set under the root is reported, or the one that --dataset names. KEY VALUE words choose versions, as in
training: DATASETS.MSMT_USE_VAL False, DATASETS.MSMT_VERSION V2, DATASETS.CUHK03_BOXES detected.

Exit status: 0 when all is well, 1 when something is not, 2 for wrong input.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.data import LOADERS, ReIDDataset
from reid.data.check import HEADER, FoundSet, find_sets, report_sets
from reid.engine.build_data import build_dataset
from reid.evaluation import format_table
from reid.utils import InputError, setup_logging, write_json
from reid.utils.cli import run_tool, tool_parser

ALL_IS_WELL, SOMETHING_IS_NOT = 0, 1


def main(words: Sequence[str]) -> int:
    parser = tool_parser(
        __doc__, "python tools/check_data.py --root /data --dataset market1501 --json report.json"
    )
    parser.add_argument("--root", metavar="DIR", type=Path, required=True, help="the data root")
    parser.add_argument("--dataset", metavar="NAME", help="as in DATASETS.NAMES; default: all that are there")
    parser.add_argument("--no-images", action="store_true", help="open no image: counts only")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the report to FILE too")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="configuration keys to override")
    args = parser.parse_intermixed_args(words)
    cfg = load_config(None, [*args.overrides, "DATASETS.ROOT_DIR", repr(str(args.root))])
    setup_logging()

    def load(name: str, train: bool = True, test: bool = True) -> ReIDDataset:
        return build_dataset(cfg, name, train=train, test=test)

    if args.dataset:
        dataset = load(args.dataset)
        sets = [FoundSet(args.dataset, dataset.train.root, dataset, "")]
    else:
        sets = find_sets(load, args.root, LOADERS)
    if not sets:
        raise InputError(f"{args.root} must hold one of {', '.join(LOADERS)}; see datasets/README.md")
    reports = report_sets(sets, open_images=not args.no_images)
    for report in reports:
        print(report.headline())
        if report.splits:
            print(format_table(HEADER, report.rows()))
        print("\n".join(report.findings() or ["all is well"]), end="\n\n")
    is_well = not any(report.findings() for report in reports)
    if args.json:
        write_json(args.json, {"is_well": is_well, "sets": [report.as_dict() for report in reports]})
    return ALL_IS_WELL if is_well else SOMETHING_IS_NOT


if __name__ == "__main__":
    sys.exit(run_tool(main))

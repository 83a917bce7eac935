"""Train a model: baseline, then denoisers."""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine.build import build_run
from reid.engine.compare import row_name
from reid.evaluation import FIGURES, figure_cells, format_table
from reid.utils import setup_logging, write_json
from reid.utils.cli import add_json_option, config_parser, run_tool


def main(words: Sequence[str]) -> None:
    parser = config_parser(
        __doc__, "python tools/train.py --config vit_small_msmt.yml DATASETS.ROOT_DIR /data"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the interrupted run in OUTPUT_DIR")
    add_json_option(parser)
    args = parser.parse_intermixed_args(words)
    cfg = load_config(args.config, args.overrides)
    setup_logging()
    run = build_run(cfg)
    setup_logging(Path(cfg.OUTPUT_DIR))
    results = run.run(args.resume)
    protocol = run.evaluator.protocol(run.model).describe() if run.evaluator else None
    if protocol:
        print(
            format_table(["model", *FIGURES], [[row_name(n), *figure_cells(r)] for n, r in results.items()])
        )
        print(f"protocol: {protocol}")
    if args.json:
        write_json(args.json, {n: r.as_dict() | {"protocol": protocol} for n, r in results.items()})
    print(f"checkpoints: {', '.join(sorted(str(p) for p in Path(cfg.OUTPUT_DIR).glob('*.pth')))}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

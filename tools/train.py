"""Train a model: baseline, then denoisers.

A folder that holds the checkpoints of a run is never written over: name another OUTPUT_DIR, or delete it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from reid.config import load_config
from reid.engine.build import build_run
from reid.evaluation import format_table
from reid.utils import setup_logging, write_json
from reid.utils.cli import config_parser, run_tool


def main(words: Sequence[str]) -> None:
    parser = config_parser(
        __doc__, "python tools/train.py --config vit_small_msmt.yml DATASETS.ROOT_DIR /data"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the interrupted run in OUTPUT_DIR")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results to FILE too")
    args = parser.parse_intermixed_args(words)
    cfg = load_config(args.config, args.overrides)
    setup_logging()
    run = build_run(cfg)
    setup_logging(Path(cfg.OUTPUT_DIR))
    results = run.run(args.resume)
    if args.json:
        protocol = run.evaluator.protocol(run.model).describe() if run.evaluator else None
        write_json(
            args.json, {name: result.as_dict() | {"protocol": protocol} for name, result in results.items()}
        )
    if run.evaluator:
        rows = [
            [name, f"{r.mean_ap:.1%}", *(f"{r.cmc[rank - 1]:.1%}" for rank in (1, 5, 10))]
            for name, r in results.items()
        ]
        print(format_table(["stage", "mAP", "Rank-1", "Rank-5", "Rank-10"], rows))
        print(f"protocol: {run.evaluator.protocol(run.model).describe()}")
    print(f"checkpoints: {', '.join(sorted(str(p) for p in Path(cfg.OUTPUT_DIR).glob('*.pth')))}")


if __name__ == "__main__":
    sys.exit(run_tool(main))

"""How much memory evaluating a large gallery takes: run as a process of its own, by test_memory.py."""

import re
import sys
from pathlib import Path

import torch

from reid.evaluation import BACKENDS, evaluate_retrieval, prepare_features


def peak_mb():
    """The most resident memory since this program started: getrusage would count the parent's too."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def main(queries, gallery, width, metric, unit):
    random = torch.Generator().manual_seed(0)
    num_ids = max(1, gallery // 20)
    sides = []
    for rows in (queries, gallery):
        pids = torch.arange(rows) % num_ids
        feats = torch.randn(rows, width, generator=random)
        for part, numbers in zip(feats.split(4096), pids.split(4096), strict=True):
            part[:, 0] += numbers % 101  # something of the identity, so that some lists tell the ranks
            if unit:
                part /= part.norm(dim=1, keepdim=True)
        sides.append((feats, pids, torch.arange(rows) % 6))
    columns = [column for pair in zip(*sides, strict=True) for column in pair]
    prepare_features(torch.ones(2, 2), torch.ones(2, 2), metric)
    before, results = peak_mb(), []
    for backend in BACKENDS:
        results.append(evaluate_retrieval(*columns, metric=metric, backend=backend).mean_ap)
        sys.stdout.write(f"{peak_mb() - before:.1f}\n")
    assert abs(results[0] - results[1]) < 1e-6, results


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4], sys.argv[5] == "unit")

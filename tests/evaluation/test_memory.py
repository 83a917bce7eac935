"""Evaluating a gallery of a million takes little more memory than its features do."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "memory.py"
SIMILARITIES = 512  # MB of a chunk of queries
FEATURES = 1_000_000 * 64 * 4 / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("metric", "form", "copied"),
    [("cosine", "unit", 0), ("cosine", "any", FEATURES), ("euclidean", "any", 0)],
)
def test_a_gallery_of_a_million_takes_its_similarities_and_at_most_one_copy(metric, form, copied):
    pytest.importorskip("faiss")
    words = [sys.executable, SCRIPT, "400", "1000000", "64", metric, form]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    by_torch, by_faiss_after_it = (float(line) for line in output.split())
    assert by_torch < SIMILARITIES + copied + 200
    # What faiss's threads keep differs from run to run.
    assert by_faiss_after_it < 1000

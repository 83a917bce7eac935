import numpy as np
import pytest
import torch

from reid.evaluation import ranks
from reid.evaluation.ranks import count_on_cpu, count_on_gpu, match_ranks


def on_cpu(row, matches, junk):
    return count_on_cpu(row.numpy().copy(), matches, junk)


both = pytest.mark.parametrize("count", [on_cpu, count_on_gpu], ids=["cpu", "gpu"])


def rows(*numbers):
    return np.array(numbers, np.int64)


def count_by_sorting(row, matches, junk):
    order = [j for j in sorted(range(len(row)), key=lambda j: -row[j]) if j not in junk]
    return [order.index(m) for m in matches]


def test_toy_row():
    # In order: 2 (0.9), junk 0 (0.8), 1 (0.5), 3 (0.5), 4 (0.1).
    row = torch.tensor([0.8, 0.5, 0.9, 0.5, 0.1])
    assert match_ranks(row, rows(4, 3), rows(0)).tolist() == [3, 4]


@both
@pytest.mark.parametrize("tile", [1, 3, 20, 64])
@pytest.mark.parametrize("levels", [1, 3, 1000], ids=["all equal", "ties", "distinct"])
@pytest.mark.parametrize("pairs", [5, 1 << 27])
def test_agrees_with_sorting_whatever_the_tile(monkeypatch, count, tile, levels, pairs):
    monkeypatch.setattr(ranks, "TILE", tile)
    monkeypatch.setattr(ranks, "PAIRS", pairs)
    random = np.random.default_rng(levels)
    for _ in range(10):
        row = torch.from_numpy(random.integers(-levels, levels, 20).astype(np.float32))
        chosen = random.permutation(20)
        matches, junk = chosen[: random.integers(1, 10)], chosen[10 : random.integers(10, 20)]
        assert count(row, matches, junk).tolist() == count_by_sorting(row.tolist(), matches, set(junk))


@both
def test_a_match_near_the_top_is_counted_among_few(count):
    row = torch.randn(400, generator=torch.Generator().manual_seed(0))
    row[50:400:50] = row.max()  # ties at the top, some of them matches
    matches, junk = rows(100, 101, 250), rows(50)
    row[101] = row.sort().values[-20]
    assert count(row, matches, junk).tolist() == count_by_sorting(row.tolist(), matches, {50}) == [0, 19, 3]


@both
def test_the_gallery_may_be_the_match_alone(count):
    assert count(torch.tensor([-3.0]), rows(0), rows()).tolist() == [0]

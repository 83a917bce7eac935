"""Equal gallery rows tie, wherever a matrix product puts them."""

import numpy as np
import pytest
import torch

from reid.evaluation import evaluate_retrieval, torch_search
from reid.evaluation.copies import Copies


def test_rows_and_their_originals_by_hand():
    rows = torch.tensor([[1.0, 2.0], [0.0, 5.0], [1.0, 2.0], [-0.0, 5.0], [1.0, 2.5], [1.0, 2.0]])
    found = Copies(rows)
    assert found.rows.tolist() == [2, 3, 5]  # -0.0 equals 0.0
    assert found.originals.tolist() == [0, 1, 0]
    similarities = torch.arange(12.0).reshape(2, 6)
    assert found.tie(similarities).tolist() == [[0, 1, 0, 1, 4, 0], [6, 7, 6, 7, 10, 6]]


def test_against_all_pairs():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 2, (300, 12), generator=generator).float()
    rows[:, ::2] = 0  # the columns that are looked at first tell little
    found = dict(zip(*(part.tolist() for part in (Copies(rows).rows, Copies(rows).originals)), strict=True))
    for i, row in enumerate(rows):
        same = int((rows == row).all(dim=1).nonzero()[0])
        assert found.get(i, i) == same


def test_different_rows_are_no_copies_even_where_they_agree_in_most():
    rows = torch.ones(40, 500)
    rows[range(40), range(100, 140)] = 2
    assert len(Copies(rows).rows) == 0
    assert len(Copies(torch.ones(1, 1)).rows) == 0


@pytest.mark.parametrize("backend", ["torch", "faiss"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("chunk_size", [1, 3, 1024])
def test_a_match_behind_its_copies_comes_last(metric, backend, chunk_size):
    rng = np.random.default_rng(0)
    for _ in range(40):
        width, count, num_query = rng.integers(2, 500), int(rng.integers(2, 200)), int(rng.integers(1, 5))
        gallery = torch.from_numpy(np.repeat(rng.normal(size=(1, width)).astype(np.float32), count, 0))
        query = torch.from_numpy(rng.normal(size=(num_query, width)).astype(np.float32))
        pids = torch.full((count,), 2)
        pids[-1] = 1
        result = evaluate_retrieval(
            *(query, gallery, torch.ones(num_query).long(), pids),
            *(torch.zeros(num_query).long(), torch.ones(count).long()),
            metric=metric,
            backend=backend,
            chunk_size=chunk_size,
        )
        assert result.average_precision == pytest.approx([1 / count] * num_query)
        _, found = torch_search(query, gallery, count, metric=metric)
        assert found.tolist() == [list(range(count))] * num_query


def test_short_rows_have_a_direction_too():
    gallery = torch.tensor([[0.6, 0.8], [1e-15, 0.0]])
    options = ([1], [2, 1], [0], [1, 1])
    assert evaluate_retrieval(torch.tensor([[1.0, 0.0]]), gallery, *options).mean_ap == 1

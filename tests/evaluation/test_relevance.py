import numpy as np
import pytest
import torch

from reid.evaluation.relevance import IdentityIndex, as_labels, relevance


def column(*values):
    return torch.tensor(values)


def test_same_identity_is_a_match_from_another_camera_and_junk_from_the_same():
    is_match, is_junk = relevance(column(1), column(0), column(1, 1, 2, 2), column(0, 1, 0, 1))
    assert is_match.tolist() == [[False, True, False, False]]
    assert is_junk.tolist() == [[True, False, False, False]]


def test_unknown_cameras_are_never_the_same():
    is_match, is_junk = relevance(column(1), column(-1), column(1, 1), column(-1, 0))
    assert is_match.tolist() == [[True, True]]
    assert not is_junk.any()


def test_each_query_may_have_candidates_of_its_own():
    is_match, is_junk = relevance(
        column(1, 2), column(0, 0), torch.tensor([[1, 2], [1, 2]]), torch.tensor([[1, 1], [0, 0]])
    )
    assert is_match.tolist() == [[True, False], [False, False]]
    assert is_junk.tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize("num_ids", [1, 4, 30])
def test_the_index_finds_and_counts_what_relevance_tells(monkeypatch, num_ids):
    monkeypatch.setattr("reid.evaluation.relevance.QUERIES", 7)
    random = torch.Generator().manual_seed(num_ids)
    pids, gallery_pids = (torch.randint(0, num_ids, (n,), generator=random) for n in (25, 40))
    camids, gallery_camids = (torch.randint(-1, 3, (n,), generator=random) for n in (25, 40))
    pids[::5] = -1
    is_match, is_junk = relevance(pids, camids, gallery_pids, gallery_camids)
    index = IdentityIndex(gallery_pids, gallery_camids)
    num_matches, num_junk = index.count(pids, camids)
    assert num_matches.tolist() == is_match.sum(dim=1).tolist()
    assert num_junk.tolist() == is_junk.sum(dim=1).tolist()
    found = index.find(pids, camids)
    for i, (matches, junk) in enumerate(found):
        assert matches.tolist() == is_match[i].nonzero().squeeze(1).tolist()
        assert junk.tolist() == is_junk[i].nonzero().squeeze(1).tolist()


def test_an_index_of_nothing_finds_nothing():
    matches, junk = IdentityIndex(column().long(), column().long()).find(column(1), column(0))[0]
    assert len(matches) == len(junk) == 0


@pytest.mark.parametrize("labels", [[3, 4], np.array([3, 4], np.int32), torch.tensor([3, 4])])
def test_labels_become_int64(labels):
    result = as_labels(labels, 2, "pids", torch.device("cpu"))
    assert result.dtype == torch.int64
    assert result.tolist() == [3, 4]

"""The figures of each pair of cameras."""

import numpy as np
import pytest
import torch
from naive_metrics import naive_retrieval

from reid.data.records import Trial
from reid.evaluation import FeatureSet
from reid.evaluation.camera_pairs import MOST_CAMERAS, CameraPair, camera_table, evaluate_camera_pairs


def sides(features, *trials):
    return features, [Trial(np.array(query), np.array(gallery)) for query, gallery in trials]


def drawn(num_images=80, num_cameras=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    pids = torch.randint(-1, 6, (num_images,), generator=random)
    camids = torch.randint(-1, num_cameras, (num_images,), generator=random)
    # Few different rows, so that many similarities are equal.
    rows = torch.randn(8, 3, generator=random)[torch.randint(8, (num_images,), generator=random)]
    return FeatureSet(rows, pids, camids)


def test_a_case_by_hand():
    # One query of camera 0; in camera 1 its match is first, in camera 2 second of two.
    feats = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.5, 1.0], [1.0, 0.2], [0.0, 1.0]])
    features = FeatureSet(feats, torch.tensor([7, 7, 8, 8, 7]), torch.tensor([0, 1, 1, 2, 2]))
    found = evaluate_camera_pairs(*sides(features, ([0], [1, 2, 3, 4])))
    assert found == {(0, 1): CameraPair(1.0, 1.0, 1), (0, 2): CameraPair(0.5, 0.0, 1)}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(4))
def test_each_pair_is_an_evaluation_of_its_own(metric, seed):
    features = drawn(seed=seed)
    query, gallery = np.arange(30), np.arange(30, 80)
    found = evaluate_camera_pairs(*sides(features, (query, gallery)), metric=metric)
    pids, camids, feats = features.pids.numpy(), features.camids.numpy(), features.feats.tolist()
    expected = {}
    for a in range(4):
        for b in set(range(4)) - {a}:
            asked = [i for i in query if camids[i] == a]
            there = [j for j in gallery if camids[j] == b]
            matched = [i for i in asked if pids[i] != -1 and pids[i] in pids[there]]
            if matched:
                scores = naive_retrieval(
                    [feats[i] for i in matched],
                    [feats[j] for j in there],
                    *(pids[matched], pids[there], camids[matched], camids[there], metric),
                )
                expected[a, b] = (scores["mean_ap"], scores["cmc"][0], len(matched))
    assert list(found) == sorted(expected)
    for pair, value in found.items():
        assert value.mean_ap == pytest.approx(expected[pair][0], abs=1e-6)
        assert (value.rank1, value.num_query) == (pytest.approx(expected[pair][1]), expected[pair][2])


def test_trials_are_pooled_by_their_queries():
    feats = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    features = FeatureSet(feats, torch.tensor([7, 7, 8, 7, 8]), torch.tensor([0, 0, 0, 1, 1]))
    both = ([0, 1], [3, 4])  # both right
    wrong = ([2], [3, 4])  # right too
    found = evaluate_camera_pairs(*sides(features, both, wrong))
    assert found == {(0, 1): CameraPair(1.0, 1.0, 3)}
    turned = FeatureSet(-feats, features.pids, features.camids)
    mixed = FeatureSet(torch.cat([feats[:2], feats[:1], feats[3:]]), features.pids, features.camids)
    assert evaluate_camera_pairs(*sides(turned, both, wrong)) == found  # a turn changes no cosine
    pooled = evaluate_camera_pairs(*sides(mixed, both, wrong))[0, 1]
    assert pooled.num_query == 3
    assert pooled.mean_ap == pytest.approx((1 + 1 + 0.5) / 3)
    assert pooled.rank1 == pytest.approx(2 / 3)


def test_images_of_unknown_camera_and_pairs_without_a_match_are_left_out():
    features = FeatureSet(torch.eye(3), torch.tensor([1, 1, 2]), torch.tensor([0, -1, 1]))
    assert evaluate_camera_pairs(*sides(features, ([0, 2], [1, 2, 0]))) == {}


def test_too_many_cameras_make_no_table():
    count = MOST_CAMERAS + 1
    features = FeatureSet(
        torch.ones(2 * count, 1), torch.arange(2 * count) // 2, torch.arange(2 * count) % count
    )
    assert evaluate_camera_pairs(*sides(features, (np.arange(2), np.arange(2, 2 * count)))) == {}


def test_the_table_has_a_row_a_query_camera_and_the_difference_in_brackets():
    pairs = {(0, 1): CameraPair(0.5, 0.4, 3), (2, 0): CameraPair(1.0, 1.0, 2)}
    before = {(0, 1): CameraPair(0.4996, 0.4, 3), (2, 0): CameraPair(0.9, 1.0, 2)}
    table = camera_table(pairs, before, "cameras")
    assert table.title == "cameras"
    assert list(table.header[1:]) == ["camera 0", "camera 1"]
    assert table.rows == [["camera 0", "", "50.0 (+0.0)"], ["camera 2", "100.0 (+10.0)", ""]]
    assert camera_table(pairs, None, "").rows[0] == ["camera 0", "", "50.0"]

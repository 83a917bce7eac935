import math

import numpy as np
import pytest
import torch
from dense_rerank import dense_rerank
from naive_metrics import keep_counted, score_lists

from reid.data.records import Trial
from reid.evaluation import FeatureSet, ReRanking, evaluate_retrieval, evaluate_trials, reranked_distances
from reid.utils import InputError


def people(seed, num_query=20, num_gallery=90, width=8, num_ids=9):
    """Features in clusters: without them no two images are reciprocal for long."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((num_ids, width))

    def draw(count):
        noise = 0.6 * random.standard_normal((count, width))
        return (centres[random.integers(0, num_ids, count)] + noise).astype(np.float32)

    return draw(num_query), draw(num_gallery)


def distances(query, gallery, *numbers, **options):
    chunks = reranked_distances(
        torch.from_numpy(query), torch.from_numpy(gallery), ReRanking(*numbers), **options
    )
    return torch.cat(list(chunks)).numpy()


# On a line: the query at 0, the gallery at 1, 10 and 11. With k1 = 1 there are two reciprocal pairs.
LINE = np.array([[0]], np.float32), np.array([[1], [10], [11]], np.float32)


def test_toy_case_by_hand():
    near, far = math.exp(-1 / 121), math.exp(-1 / 100)  # the farthest is 11 away, or 10
    of_query, of_match = (1 / (1 + near), near / (1 + near)), (far / (1 + far), 1 / (1 + far))
    jaccard = 1 - sum(map(min, of_query, of_match)) / sum(map(max, of_query, of_match))
    np.testing.assert_allclose(distances(*LINE, 1, 1, 0.0, metric="euclidean"), [[jaccard, 1, 1]], atol=1e-6)


def test_lambda_of_one_is_the_distance_over_the_largest():
    found = distances(*LINE, 1, 1, 1.0, metric="euclidean")
    np.testing.assert_allclose(found, [[1 / 121, 100 / 121, 1]], atol=1e-6)


CASES = {
    "defaults": ({}, (20, 6, 0.3)),
    "no averaging, odd k1": ({"num_query": 9, "num_gallery": 60}, (7, 1, 0.0)),
    "k1 and k2 beyond the images": ({"num_query": 5, "num_gallery": 20}, (60, 40, 0.5)),
    "k2 beyond k1": ({}, (3, 9, 0.3)),
    "a gallery of one": ({"num_query": 3, "num_gallery": 1}, (20, 6, 0.3)),
    "one pair": ({"num_query": 1, "num_gallery": 1}, (1, 1, 0.3)),
}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("sizes", "numbers"), CASES.values(), ids=CASES)
def test_agrees_with_the_dense_definition(metric, sizes, numbers):
    for seed in range(4):
        query, gallery = people(seed, **sizes)
        expected = dense_rerank(query, gallery, *numbers, metric=metric)
        np.testing.assert_allclose(distances(query, gallery, *numbers, metric=metric), expected, atol=1e-5)


def test_copies_and_equal_distances_agree_with_the_dense_definition():
    random = np.random.default_rng(0)
    for _ in range(5):
        # Cosines of these are exact, and a few of them are shared by all pairs.
        query, gallery = (random.choice([-1.0, 1.0], (n, 4)).astype(np.float32) for n in (10, 50))
        np.testing.assert_allclose(distances(query, gallery), dense_rerank(query, gallery), atol=1e-5)


def test_equal_images_are_all_at_distance_zero():
    ones = np.ones((4, 3), np.float32)
    np.testing.assert_allclose(distances(ones, ones, 9, 1, metric="euclidean"), np.zeros((4, 4)), atol=1e-6)


@pytest.mark.parametrize("chunk_size", [1, 7, 20])
def test_distances_come_in_chunks_of_queries(chunk_size, monkeypatch):
    monkeypatch.setattr("reid.evaluation.rerank.MAX_PAIRS", 110 * 5)
    query, gallery = (torch.from_numpy(feats) for feats in people(0))
    chunks = list(reranked_distances(query, gallery, chunk_size=chunk_size))
    assert {len(chunk) for chunk in chunks[:-1]} <= {chunk_size}
    assert chunks[0].dtype == torch.float32
    np.testing.assert_allclose(torch.cat(chunks), distances(*people(0)), atol=1e-6)


def labelled_case(seed):
    random = np.random.default_rng(seed)
    query, gallery = people(seed)
    pids = [random.integers(0, 6, n) for n in (len(query), len(gallery))]
    camids = [random.integers(-1, 3, n) for n in (len(query), len(gallery))]
    pids[1][::10] = -1
    return query, gallery, *pids, *camids


@pytest.mark.parametrize("seed", range(3))
def test_metrics_rank_by_the_reranked_distances(seed):
    query, gallery, *labels = labelled_case(seed)
    is_known = labels[1] != -1
    result = evaluate_retrieval(
        torch.from_numpy(query), torch.from_numpy(gallery), *labels, reranking=ReRanking(8, 3), chunk_size=6
    )
    labels[1], labels[3] = labels[1][is_known], labels[3][is_known]
    orders = np.argsort(dense_rerank(query, gallery[is_known], 8, 3), axis=1, kind="stable")
    lists = keep_counted(orders.tolist(), *labels)
    expected = score_lists(lists, labels[0], labels[1])
    assert result.mean_ap == pytest.approx(expected["mean_ap"], abs=1e-6)
    assert result.mean_inp == pytest.approx(expected["mean_inp"], abs=1e-6)
    np.testing.assert_allclose(result.cmc, expected["cmc"], atol=1e-6)


def test_trials_are_reranked_each_for_itself():
    query, gallery, query_pids, gallery_pids, *camids = labelled_case(3)
    features = FeatureSet(
        torch.from_numpy(np.concatenate([query, gallery])),
        torch.from_numpy(np.concatenate([query_pids, gallery_pids])),
        torch.from_numpy(np.concatenate(camids)),
    )
    trials = [Trial(np.arange(20), np.arange(20, 110)), Trial(np.arange(10), np.arange(20, 70))]
    result = evaluate_trials(features, trials, reranking=ReRanking(8, 3))
    plain = evaluate_trials(features, trials)
    for trial, found, unranked in zip(trials, result.trials, plain.trials, strict=True):
        alone = [features.select(rows) for rows in (trial.query, trial.gallery)]
        columns = [getattr(side, name) for name in ("feats", "pids", "camids") for side in alone]
        expected = evaluate_retrieval(*columns, reranking=ReRanking(8, 3))
        assert found.mean_ap == expected.mean_ap != unranked.mean_ap


@pytest.mark.parametrize(
    "numbers", [(0, 6, 0.3), (20, 0, 0.3), (20, 6, -0.1), (20, 6, 1.1), (20, 6, math.nan)]
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(InputError, match=r"k1 and k2 in 1 to 1000000 and lambda_value in \[0, 1\], got"):
        ReRanking(*numbers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk_size": 0}, "chunk_size must be at least 1, got 0"),
        ({"metric": "dot"}, "unknown metric 'dot'"),
        ({"query": torch.full((1, 2), math.nan)}, "query features must be finite"),
        ({"gallery": torch.ones(3, 4)}, "equally wide, got 2 and 4"),
        ({"gallery": torch.ones(0, 2)}, "gallery features must be a table"),
    ],
)
def test_wrong_input_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        list(reranked_distances(**{"query": torch.ones(1, 2), "gallery": torch.ones(3, 2), **change}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_gpu_gives_the_same_distances():
    query, gallery = (torch.from_numpy(feats) for feats in people(0))
    found = torch.cat(list(reranked_distances(query.cuda(), gallery.cuda()))).cpu()
    torch.testing.assert_close(found, torch.cat(list(reranked_distances(query, gallery))), atol=1e-5, rtol=0)

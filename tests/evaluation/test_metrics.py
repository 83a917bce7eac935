import math

import numpy as np
import pytest
import torch
from naive_metrics import naive_ranked_lists, naive_retrieval

from reid.data.records import Trial
from reid.evaluation import (
    FeatureSet,
    ReRanking,
    evaluate_retrieval,
    evaluate_trials,
    listed_ranks,
    metrics,
    similarity,
)
from reid.utils import InputError


@pytest.fixture(params=["torch", "faiss", "faiss, short lists"])
def backend(request, monkeypatch):
    """Each backend. With short lists, some queries are told by their lists and the others counted."""
    if request.param != "torch":
        pytest.importorskip("faiss")
    if request.param == "faiss, short lists":
        monkeypatch.setattr(listed_ranks, "LENGTH", 12)
    return request.param.split(",")[0]


def on_circle(*degrees):
    """Unit vectors at the given angles: the smaller the angle between two, the larger their cosine."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([angles.cos(), angles.sin()], dim=1).float()


@pytest.fixture
def evaluate_one(backend):
    def evaluate_one(gallery, pids, camids, *, pid=1, camid=0, **options):
        """One query at 0 degrees, of identity 1 on camera 0; the gallery at the given angles."""
        columns = [pid], np.array(pids), [camid], np.array(camids)
        return evaluate_retrieval(on_circle(0), on_circle(*gallery), *columns, backend=backend, **options)

    return evaluate_one


@pytest.fixture
def run(backend):
    def run(case, **options):
        query, gallery, *labels = case
        features = torch.from_numpy(query), torch.from_numpy(gallery)
        return evaluate_retrieval(*features, *labels, **{"backend": backend, **options})

    return run


def random_case(seed, *, num_query=23, num_gallery=61, ties=False, metric="cosine"):
    """Features, identities -1..5 and cameras -1..2; with ``ties``, many exactly equal similarities."""
    random = np.random.default_rng(seed)

    def table(rows):
        if ties:
            # Length 2, so that cosines are exact in float32; few values, so that many are equal.
            return random.choice([-1.0, 1.0], size=(rows, 4))
        return random.standard_normal((rows, 8))

    query, gallery = table(num_query), table(num_gallery)
    if metric == "euclidean" and ties:
        query, gallery = np.round(query + random.integers(0, 2, query.shape)), np.round(gallery)
    labels = [random.integers(-1, 6, n) for n in (num_query, num_gallery)]
    cameras = [random.integers(-1, 3, n) for n in (num_query, num_gallery)]
    return query.astype(np.float32), gallery.astype(np.float32), *labels, *cameras


def same(first, second):
    assert first.mean_ap == pytest.approx(second.mean_ap, abs=1e-12)
    assert first.mean_inp == pytest.approx(second.mean_inp, abs=1e-12)
    np.testing.assert_allclose(first.cmc, second.cmc, atol=1e-12)


# Toy cases, solved by hand.


def test_precision_is_averaged_over_the_true_matches(evaluate_one):
    result = evaluate_one([10, 20, 30, 40], [1, 2, 1, 3], [1, 1, 1, 1])
    assert result.mean_ap == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert result.mean_inp == pytest.approx(2 / 3)
    assert result.cmc.tolist() == [1.0] * 50
    assert (result.num_query, result.num_evaluated, result.num_gallery) == (1, 1, 4)


def test_same_identity_and_camera_is_junk(evaluate_one):
    # Without the junk at 10 degrees the true match at 30 degrees is second, not third.
    result = evaluate_one([10, 20, 30, 40], [1, 2, 1, 3], [0, 0, 1, 1])
    assert result.mean_ap == pytest.approx(1 / 2)
    assert result.cmc[:3].tolist() == [0.0, 1.0, 1.0]


def test_a_query_whose_images_are_all_junk_is_left_out(backend):
    result = evaluate_retrieval(
        on_circle(0, 5), on_circle(10, 20, 30), [1, 2], [1, 1, 2], [0, 0], [0, 0, 1], backend=backend
    )
    assert (result.num_query, result.num_evaluated) == (2, 1)
    assert np.isnan(result.average_precision[0])


def test_same_camera_alone_is_not_junk(evaluate_one):
    result = evaluate_one([10, 20, 30], [2, 3, 1], [0, 0, 1])
    assert result.mean_ap == pytest.approx(1 / 3)


def test_distractors_of_identity_zero_count_as_wrong(evaluate_one):
    result = evaluate_one([10, 20, 30], [0, 0, 1], [1, 2, 1])
    assert result.mean_ap == pytest.approx(1 / 3)
    assert result.num_gallery == 3


def test_gallery_images_of_unknown_identity_leave_the_ranking(evaluate_one):
    result = evaluate_one([10, 20, 30], [-1, -1, 1], [1, 2, 1])
    assert result.mean_ap == 1.0
    assert result.num_gallery == 1


def test_unknown_cameras_make_no_junk(evaluate_one):
    result = evaluate_one([10, 20], [1, 2], [-1, -1], camid=-1)
    assert result.mean_ap == 1.0


def test_unknown_gallery_camera_is_no_junk_for_a_known_one(evaluate_one):
    result = evaluate_one([10, 20], [2, 1], [-1, -1])
    assert result.mean_ap == pytest.approx(1 / 2)


@pytest.mark.parametrize(("pids", "expected"), [([1, 2], 1.0), ([2, 1], 1 / 2)])
def test_equal_similarities_keep_gallery_order(evaluate_one, pids, expected):
    assert evaluate_one([20, 20], pids, [1, 1]).mean_ap == pytest.approx(expected)


def test_many_equal_similarities_keep_gallery_order(evaluate_one):
    # An unstable sort shows only on longer rows.
    pids = [2] * 999 + [1]
    assert evaluate_one([20] * 1000, pids, [1] * 1000).mean_ap == pytest.approx(1 / 1000)


def test_queries_without_a_match_are_left_out_and_counted(backend):
    result = evaluate_retrieval(
        on_circle(0, 90, 45),
        on_circle(10, 80, 20),
        [1, 9, -1],
        [1, 2, 1],
        [0, 0, 0],
        [1, 1, 1],
        backend=backend,
    )
    assert result.num_query == 3
    assert result.num_evaluated == 1
    assert result.mean_ap == 1.0
    assert result.average_precision[0] == 1.0
    assert np.isnan(result.average_precision[1:]).all()


def test_curve_beyond_the_gallery_repeats_its_last_value(evaluate_one):
    result = evaluate_one([10, 20], [2, 1], [1, 1], max_rank=5)
    assert result.cmc.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_map_counts_matches_beyond_max_rank(evaluate_one):
    result = evaluate_one([10, 20, 30], [2, 3, 1], [1, 1, 1], max_rank=1)
    assert result.mean_ap == pytest.approx(1 / 3)
    assert result.cmc.tolist() == [0.0]


def test_metrics_differ_where_lengths_differ(backend):
    query, gallery = torch.tensor([[1.0, 0.0]]), torch.tensor([[9.0, 0.0], [1.0, 0.5]])
    labels = [1], [1, 2], [0], [1, 1]
    assert evaluate_retrieval(query, gallery, *labels, metric="cosine", backend=backend).mean_ap == 1.0
    assert evaluate_retrieval(query, gallery, *labels, metric="euclidean", backend=backend).mean_ap == 0.5


# Against the plain loops.


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_plain_loops(run, seed, ties, metric):
    case = random_case(seed, ties=ties, metric=metric)
    result = run(case, metric=metric, chunk_size=7, max_rank=70)
    expected = naive_retrieval(*(column.tolist() for column in case), metric=metric, max_rank=70)
    assert result.mean_ap == pytest.approx(expected["mean_ap"], abs=1e-6)
    assert result.mean_inp == pytest.approx(expected["mean_inp"], abs=1e-6)
    np.testing.assert_allclose(result.cmc, expected["cmc"], atol=1e-6)
    aps = [math.nan if ap is None else ap for ap in expected["average_precision"]]
    np.testing.assert_allclose(result.average_precision, aps, atol=1e-6)
    assert result.num_evaluated == expected["num_evaluated"] < result.num_query == len(case[0])


def test_random_cases_of_every_shape_agree_with_the_plain_loops(run):
    random = np.random.default_rng(0)
    for seed in range(60):
        num_query, num_gallery = random.integers(1, 9), random.integers(1, 30)
        metric, has_ties = ("cosine", "euclidean")[seed % 2], seed % 3 > 0
        case = random_case(seed, num_query=num_query, num_gallery=num_gallery, ties=has_ties, metric=metric)
        columns = [column.tolist() for column in case]
        lists = naive_ranked_lists(*columns, metric)
        if not any(case[3][j] == pid for pid, ranked in zip(case[2], lists, strict=True) for j in ranked):
            with pytest.raises(ValueError, match=f"none of {num_query} queries has one"):
                run(case, metric=metric)
            continue
        result, expected = run(case, metric=metric, chunk_size=3), naive_retrieval(*columns, metric)
        aps = [math.nan if ap is None else ap for ap in expected["average_precision"]]
        np.testing.assert_allclose(result.average_precision, aps, atol=1e-6)
        np.testing.assert_allclose(result.cmc, expected["cmc"], atol=1e-6)
        assert result.mean_inp == pytest.approx(expected["mean_inp"], abs=1e-6)


# Properties.


@pytest.mark.parametrize("chunk_size", [1, 5, 22, 23, 1000])
def test_chunk_size_does_not_change_the_result(run, chunk_size):
    case = random_case(0, ties=True)
    same(run(case, chunk_size=chunk_size), run(case, chunk_size=256))


@pytest.mark.parametrize(("max_pairs", "rows"), [(1, 1), (150, 2), (10**6, 5)])
def test_a_large_gallery_is_met_by_fewer_queries_at_a_time(monkeypatch, max_pairs, rows):
    query, gallery, *labels = random_case(0, ties=True)
    columns, seen = (torch.from_numpy(query), torch.from_numpy(gallery), *labels), []
    expected = evaluate_retrieval(*columns)

    def compare(query, gallery, metric, out):
        seen.append(len(query))
        return similarity(query, gallery, metric, out)

    monkeypatch.setattr(metrics, "MAX_PAIRS", max_pairs)
    monkeypatch.setattr(metrics, "similarity", compare)
    same(evaluate_retrieval(*columns, chunk_size=5), expected)
    assert max(seen) == rows


def test_features_of_inference_mode_are_scored(run):
    case = random_case(0)
    with torch.inference_mode():
        result = run(case)
    same(result, run(case))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_gpu_gives_the_same_figures(run, backend):
    query, gallery, *labels = random_case(0, ties=True)
    features = torch.from_numpy(query).cuda(), torch.from_numpy(gallery).cuda()
    same(evaluate_retrieval(*features, *labels, backend=backend), run(random_case(0, ties=True)))


def test_order_of_queries_does_not_matter(run):
    query, gallery, query_pids, gallery_pids, query_camids, gallery_camids = random_case(1)
    order = np.random.default_rng(0).permutation(len(query))
    first = run((query, gallery, query_pids, gallery_pids, query_camids, gallery_camids))
    second = run(
        (query[order], gallery, query_pids[order], gallery_pids, query_camids[order], gallery_camids)
    )
    same(first, second)
    np.testing.assert_array_equal(first.average_precision[order], second.average_precision)


def test_curve_never_falls_and_ends_at_one(run):
    cmc = run(random_case(2), max_rank=61).cmc
    assert (np.diff(cmc) >= 0).all()
    assert cmc[-1] == 1.0
    assert cmc[0] < 1.0


def test_cosine_ignores_the_length_of_features(run):
    query, gallery, *labels = random_case(3)
    scaled = gallery * np.random.default_rng(0).uniform(0.5, 2, (len(gallery), 1)).astype(np.float32)
    same(run((query, gallery, *labels)), run((query, scaled, *labels)))


def test_half_precision_features_and_autocast_are_ranked_in_float32(backend):
    # 1 and 1 + 2^-12 are one number in bfloat16 and in float16.
    gallery = torch.tensor([[1.0], [1.0 + 2**-12]])
    labels = [1], [2, 1], [0], [1, 1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = evaluate_retrieval(
            torch.tensor([[2.0]]), gallery, *labels, metric="euclidean", backend=backend
        )
    assert result.mean_ap == 1.0
    assert (
        evaluate_retrieval(torch.ones(1, 1).half(), gallery.double(), *labels, backend=backend).num_evaluated
        == 1
    )


# Refusals.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": torch.zeros(0, 2)}, r"query features must be a table .* got shape \(0, 2\)"),
        ({"gallery": torch.zeros(0, 2)}, r"gallery features must be a table .* got shape \(0, 2\)"),
        ({"query": torch.zeros(2)}, r"query features must be a table .* got shape \(2,\)"),
        ({"gallery": torch.zeros(3, 5)}, "equally wide, got 2 and 5"),
        ({"query_pids": [1, 2]}, r"query_pids must hold one number for each of the 1 feature rows"),
        ({"gallery_pids": [1]}, r"gallery_pids must hold .* the 3 feature rows, got shape \(1,\)"),
        ({"query_camids": []}, "query_camids must hold"),
        ({"gallery_camids": [[1, 2, 3]]}, r"gallery_camids must hold .* got shape \(1, 3\)"),
        ({"metric": "cosin"}, "unknown metric 'cosin': did you mean 'cosine'"),
        ({"max_rank": 0}, "max_rank and chunk_size must be at least 1, got 0 and 1024"),
        ({"chunk_size": 0}, "at least 1, got 50 and 0"),
        ({"gallery_camids": [0, 0, 0]}, "none of 1 queries has one among 3 gallery images"),
        ({"query_pids": [9]}, "none of 1 queries has one among 3 gallery images"),
        ({"query_pids": [-1], "gallery_pids": [-1, 2, 3]}, "none of 1 queries has one among 2 gallery"),
        ({"gallery_pids": [-1, -1, -1]}, "none of 1 queries has one among 0 gallery images"),
        ({"gallery": torch.tensor([[1, 0], [math.nan, 0], [math.inf, 0]])}, "but 2 of 3 rows .*first: row 1"),
        ({"query": torch.tensor([[1e30, 0]])}, "query features must be finite, but 1 of 1 rows"),
    ],
)
def test_wrong_input_is_refused_with_what_came(backend, change, message):
    given = {
        "query": on_circle(0),
        "gallery": on_circle(10, 20, 30),
        "query_pids": [1],
        "gallery_pids": [1, 2, 3],
        "query_camids": [0],
        "gallery_camids": [1, 1, 1],
    }
    with pytest.raises(ValueError, match=message):
        evaluate_retrieval(**{**given, **change}, backend=backend)


def test_labels_that_are_no_integers_are_refused(backend):
    with pytest.raises(TypeError, match=r"gallery_pids must be integers, got torch\.float32"):
        evaluate_retrieval(on_circle(0), on_circle(1), [1], torch.tensor([1.0]), [0], [1], backend=backend)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "fais"}, "unknown backend 'fais': did you mean 'faiss'"),
        ({"backend": "torch", "device": "cuda"}, "works where the features are, got device 'cuda'"),
        ({"backend": "faiss", "reranking": ReRanking()}, "use backend 'torch' to re-rank"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        evaluate_retrieval(on_circle(0), on_circle(1), [1], [1], [0], [1], **options)


def test_trials_pass_the_backend_on():
    features = FeatureSet(on_circle(0, 10), torch.tensor([1, 1]), torch.tensor([0, 1]))
    trial = Trial(query=np.array([0]), gallery=np.array([1]))
    with pytest.raises(InputError, match="use backend 'torch' to re-rank"):
        evaluate_trials(features, [trial], backend="faiss", reranking=ReRanking())
    with pytest.raises(InputError, match="got device 'cuda'"):
        evaluate_trials(features, [trial], device="cuda")

import numpy as np
import pytest

from reid.evaluation import EvaluationResult, Interval, bootstrap_difference
from reid.evaluation.metrics import RetrievalMetrics
from reid.utils import InputError


def result(*trials):
    return EvaluationResult(
        tuple(
            RetrievalMetrics(
                mean_ap=float(np.nanmean(ap)),
                mean_inp=0.5,
                cmc=np.ones(10),
                average_precision=np.array(ap, float),
                num_query=len(ap),
                num_evaluated=len(ap),
                num_gallery=5,
            )
            for ap in trials
        )
    )


def test_the_same_gain_for_every_query_is_certain():
    interval = bootstrap_difference(result([0.1, 0.4, np.nan]), result([0.3, 0.6, np.nan]))
    np.testing.assert_allclose(interval, (0.2, 0.2, 0.2))
    assert interval.excludes_zero
    assert interval.describe() == "+20.00 mAP, 95 % interval +20.00 to +20.00"
    zero = Interval(-1e-9, -4e-5, 0.0)
    assert zero.describe() == "+0.00 mAP, 95 % interval +0.00 to +0.00"
    assert zero.in_points() == "+0.00 (+0.00 to +0.00)"


def test_the_interval_agrees_with_the_normal_one_for_many_queries():
    rng = np.random.default_rng(0)
    before = rng.uniform(size=800)
    change = rng.normal(0.02, 0.1, 800)
    interval = bootstrap_difference(result(before), result(before + change))
    half = 1.96 * change.std(ddof=1) / 800**0.5
    np.testing.assert_allclose(
        interval, (change.mean(), change.mean() - half, change.mean() + half), atol=6e-4
    )


def test_no_clear_gain_includes_zero():
    interval = bootstrap_difference(result([0.1, 0.9, 0.5, 0.2]), result([0.2, 0.8, 0.6, 0.1]))
    assert not interval.excludes_zero


def test_trials_count_alike_and_the_draw_is_seeded():
    before, after = result([0.0, 0.2], [0.5]), result([0.2, 0.6], [0.5])
    interval = bootstrap_difference(before, after, seed=3)
    assert interval.difference == pytest.approx(0.15)
    assert interval == bootstrap_difference(before, after, seed=3)


def test_other_queries_are_refused():
    with pytest.raises(InputError, match="same queries"):
        bootstrap_difference(result([0.1, 0.2]), result([0.1, np.nan]))
    with pytest.raises(InputError, match="same trials"):
        bootstrap_difference(result([0.1]), result([0.1], [0.2]))


def test_a_cell_has_two_decimals_and_no_negative_zero():
    assert Interval(0.00816, -0.000004, 0.0144).in_points() == "+0.82 (+0.00 to +1.44)"


def test_a_bootstrap_needs_a_resample():
    with pytest.raises(InputError, match="at least one resample, got 0"):
        bootstrap_difference(result([0.1, 0.4]), result([0.3, 0.6]), resamples=0)

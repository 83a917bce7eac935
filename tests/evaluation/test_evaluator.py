import json

import numpy as np
import pytest
import torch

from reid.data.records import Trial
from reid.evaluation import EvaluationResult, FeatureSet, evaluate_retrieval, evaluate_trials
from reid.utils import InputError


def rows(*numbers):
    return np.array(numbers, np.int64)


# On a line, nearest first to row 0: rows 1 (identity 2), 2 (identity 1), 3 (identity 2).
FEATURES = FeatureSet(
    feats=torch.tensor([[0.0], [1.0], [2.0], [3.0]]),
    pids=torch.tensor([1, 2, 1, 2]),
    camids=torch.tensor([0, 0, 1, 1]),
)
FIRST = Trial(query=rows(0), gallery=rows(1, 2, 3))  # right at rank 2: AP 1/2
SECOND = Trial(query=rows(0), gallery=rows(3, 2))  # right at rank 1: AP 1


def evaluate(*trials, **options):
    return evaluate_trials(FEATURES, trials, metric="euclidean", **options)


def test_one_trial_is_its_metrics():
    figures = evaluate(FIRST).as_dict()
    assert figures == {
        "mAP": 0.5,
        "mINP": 0.5,
        "R1": 0.0,
        "R5": 1.0,
        "R10": 1.0,
        "num_query": 1,
        "num_gallery": 3,
        "num_evaluated": 1,
    }


def test_several_trials_are_averaged_with_their_spread():
    result = evaluate(FIRST, SECOND, SECOND)
    figures = result.as_dict()
    assert result.mean_ap == figures["mAP"] == pytest.approx(5 / 6)
    assert result.mean_inp == figures["mINP"] == pytest.approx(5 / 6)
    assert result.cmc[0] == figures["R1"] == pytest.approx(2 / 3)
    # Sample standard deviation of 0.5, 1, 1: sqrt((1/9 + 1/36 + 1/36) / 2).
    assert figures["std"]["mAP"] == pytest.approx((1 / 12) ** 0.5)
    assert figures["std"]["R1"] == pytest.approx((1 / 3) ** 0.5)
    assert figures["std"]["R10"] == 0.0
    assert list(figures["std"]) == ["mAP", "mINP", "R1", "R5", "R10"]
    assert figures["num_gallery"] == 2  # 7 / 3, rounded
    assert [trial.mean_ap for trial in result.trials] == [0.5, 1.0, 1.0]


def test_figures_are_plain_numbers_for_json():
    figures = evaluate(FIRST, SECOND).as_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert {type(figures[key]) for key in ("mAP", "mINP", "R1", "R5", "R10")} == {float}
    assert {type(figures[key]) for key in ("num_query", "num_gallery", "num_evaluated")} == {int}


def test_metric_and_curve_length_are_passed_on():
    assert len(evaluate(FIRST, max_rank=12).cmc) == 12
    feats = FeatureSet(torch.tensor([[1.0, 0], [9.0, 0], [1, 0.5]]), torch.tensor([1, 1, 2]), torch.arange(3))
    trial = Trial(query=rows(0), gallery=rows(1, 2))
    assert evaluate_trials(feats, [trial], metric="cosine").mean_ap == 1.0
    assert evaluate_trials(feats, [trial], metric="euclidean").mean_ap == 0.5


def test_result_is_made_from_metrics_of_feature_files_too():
    metrics = evaluate_retrieval(torch.ones(1, 1), torch.ones(1, 1), [1], [1], [0], [1])
    assert EvaluationResult((metrics,)).as_dict()["mAP"] == 1.0


def test_no_trial_is_refused():
    with pytest.raises(InputError, match="at least one trial, got none"):
        evaluate()


def test_curve_too_short_for_rank_ten_is_refused():
    with pytest.raises(InputError, match="max_rank must be at least 10, got 9"):
        evaluate(FIRST, max_rank=9)


@pytest.mark.parametrize("trial", [Trial(rows(4), rows(1)), Trial(rows(0), rows(1, 4))])
def test_trial_beyond_the_features_is_refused(trial):
    with pytest.raises(InputError, match="got 4 rows but a trial names row 4"):
        evaluate(trial)


def test_trial_without_gallery_is_refused():
    with pytest.raises(InputError, match="at least one row, got none"):
        evaluate(Trial(rows(0), rows()))

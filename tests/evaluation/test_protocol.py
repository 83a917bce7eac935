import pytest

from reid.evaluation import Protocol, ReRanking
from reid.utils import InputError

GIVEN = {
    "dataset": "MSMT17 V1",
    "training": "trained on its train+val split (32621 images)",
    "metric": "cosine",
    "neck_feat": "before",
    "num_query": 11659,
    "num_gallery": 82161,
}


def test_describe_names_everything_in_one_line():
    assert Protocol(**GIVEN).describe() == (
        "MSMT17 V1, trained on its train+val split (32621 images), cosine metric, no re-ranking, "
        "no flip, feature before BNNeck, 11659 queries, 82161 gallery images"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"reranking": ReRanking(30, 5, 0.25)},
            ", re-ranking with k1 30, k2 5, lambda 0.25, no flip, feature before BNNeck, ",
        ),
        ({"flip": True}, ", no re-ranking, flip, feature before BNNeck, "),
        ({"neck_feat": "after"}, ", no re-ranking, no flip, feature after BNNeck, "),
        (
            {"num_trials": 10, "one_match": True},
            " images, mean of 10 trials, mAP is the mean reciprocal rank",
        ),
    ],
)
def test_describe_names_each_choice(change, words):
    assert words in Protocol(**{**GIVEN, **change}).describe()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "l2"}, "unknown metric 'l2': choose one of cosine, euclidean"),
        ({"neck_feat": "befor"}, "unknown neck feature 'befor': did you mean 'before'"),
    ],
)
def test_unknown_choices_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        Protocol(**{**GIVEN, **change})

"""What a sweep says: the best setting where one is sure, none where none is, and the words that repeat it."""

import json
import shlex

import numpy as np
import pytest

from reid.config import load_config
from reid.engine.sweep_result import OPTIMISTIC, Measured, Point, Sweep
from reid.evaluation import EvaluationResult, Interval, RetrievalMetrics
from reid.models import DenoiseSpec
from reid.models.build import build_denoise_spec


def result(mean_ap):
    precision = np.array([mean_ap, mean_ap])
    return EvaluationResult((RetrievalMetrics(mean_ap, mean_ap, np.full(50, mean_ap), precision, 2, 2, 3),))


def point(gain, low, high, fault="", **changes):
    spec = DenoiseSpec(**changes)
    if fault:
        return Point(spec, 0.5, None, {}, fault)
    return Point(spec, 0.5, 1e-3, {"toy": Measured(result(0.5 + gain), Interval(gain, low, high), 1.5e-9)})


def swept(*points):
    return Sweep(points, {"toy": result(0.5)}, 0.25, {"toy": "a protocol"})


def test_the_best_is_the_highest_among_those_that_are_sure():
    found = swept(
        point(0.02, 0.01, 0.03, steps=1),
        point(0.09, -0.01, 0.2, steps=2),
        point(0.04, 0.001, 0.06, steps=3),
        point(-0.2, -0.3, -0.1, steps=4),
    )
    assert found.best("toy") == (3, True)
    text = found.as_text()
    assert "best: 3, mlp, t depth, 3 steps, beta to 0.002, strength 1, +4.00 mAP, 95 % interval +0.10" in text
    assert f"{OPTIMISTIC} (the best of 4)" in text
    assert "no setting beats" not in text


def test_none_is_named_the_best_where_none_is_sure():
    found = swept(point(0.02, -0.01, 0.03), point(0.03, 0.0, 0.05, steps=2))
    assert found.best("toy") == (2, False)
    text = found.as_text()
    assert "no setting beats the untouched model by more than the interval of the difference" in text
    assert "the highest is 2, mlp, t depth, 2 steps" in text
    assert "best: " not in text
    assert OPTIMISTIC in text


def test_where_none_lies_above_the_untouched_model_there_is_nothing_to_repeat():
    found = swept(point(-0.02, -0.03, -0.01), point(-1e-9, -1e-9, 0.0, steps=2))
    text = found.as_text()
    assert "none lies above the untouched model; the highest is 2, mlp, t depth, 2 steps" in text
    assert "+0.00 mAP, 95 % interval +0.00 to +0.00" in text
    assert "-0.0 " not in text
    assert "to repeat it" not in text
    assert "no setting beats" not in text


def test_figures_hold_the_cosine():
    assert swept(point(0, 0, 0)).as_dict()["points"][0]["cosine_to_untouched"] == 1 - 1.5e-9


def test_a_setting_that_failed_has_a_row_and_a_line_and_is_never_the_best():
    found = swept(point(0, 0, 0, fault="it is not finite"), point(-0.1, -0.2, -0.05, steps=2))
    assert found.best("toy") == (2, False)
    rows = found.table("toy").rows
    assert [row[1] for row in rows] == ["", "failed", "1.0e-03"]
    assert "1 failed: it is not finite" in found.as_text().splitlines()
    assert [mark.number for mark in found.marks("toy")] == [2]
    assert found.as_dict()["points"][0]["fault"] == "it is not finite"
    assert "mAP" not in found.as_dict()["points"][0]


def test_where_all_failed_nothing_is_the_best():
    found = swept(point(0, 0, 0, fault="no"))
    assert found.best("toy") == (0, False)
    assert "no setting could be measured" in found.as_text()
    assert found.marks("toy") == []


def test_the_rows_are_the_untouched_model_and_the_settings_in_order():
    found = swept(point(0.25, 0.1, 0.3, strength=0.5), point(0.125, 0.1, 0.2, t_rule="spread"))
    first, *others = found.table("toy").rows
    assert first[:3] == ["0 untouched", "", ""]
    assert "50.0%" in first
    assert [row[0] for row in others] == [
        "1 mlp, t depth, 1 step, beta to 0.002, strength 0.5",
        "2 mlp, t spread, 1 step, beta to 0.002, strength 1",
    ]
    assert others[0][1:4] == ["1.0e-03", "1.5e-09", "75.0%"]
    assert others[0][-2:] == ["+25.00 (+10.00 to +30.00)", "0.5"]


def test_the_words_and_the_keys_build_the_same_setting_again():
    spec = {
        "targets": ("mlp", r"blocks\.\d+"),
        "steps": 3,
        "t_rule": "100",
        "strength": 0.5,
        "beta_end": 0.02,
    }
    found = swept(point(0.25, 0.1, 0.3, rescale=False, **spec))
    (line,) = [line for line in found.as_text().splitlines() if "DENOISE.TARGETS" in line]
    words = shlex.split(line[line.index("DENOISE.TARGETS") :])
    assert build_denoise_spec(load_config(None, words)) == found.points[0].spec
    keys = json.loads(json.dumps(found.as_dict()))["points"][0]["keys"]
    words = [str(word) for pair in keys.items() for word in pair]
    assert build_denoise_spec(load_config(None, words)) == found.points[0].spec


def test_several_data_sets_have_a_table_each():
    measured = {name: Measured(result(0.5), Interval(0, 0, 0), 0.0) for name in ("one", "two")}
    found = Sweep(
        [Point(DenoiseSpec(), 1, 0.1, measured)],
        dict.fromkeys(measured, result(0.5)),
        1,
        {"one": "p", "two": "q"},
    )
    text = found.as_text()
    assert text.count("0 untouched") == 2
    assert text.index("one\n") < text.index("protocol: p") < text.index("two\n") < text.index("protocol: q")
    assert set(found.as_dict()) == {"one", "two"}


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ([{}, {"steps": 2}, {"targets": ("attn",)}], ["own setting", "steps", "layers"]),
        ([{"beta_end": 0.02}, {}], ["own setting", "last beta"]),
        ([{}, {"steps": 2, "targets": ("attn",)}], ["mlp", "attn"]),
    ],
)
def test_the_picture_groups_settings_by_what_sets_them_apart(changes, groups):
    found = swept(*(point(0, 0, 0, **change) for change in changes))
    assert [mark.group for mark in found.marks("toy")] == groups

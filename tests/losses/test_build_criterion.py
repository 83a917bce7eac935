"""Which key sets which part of the criterion."""

from reid.config import load_config
from reid.losses.build import build_criterion


def test_the_defaults_are_a_soft_margin_without_smoothing():
    loss = build_criterion(load_config())
    assert (loss.id_weight, loss.triplet_weight, loss.margin, loss.smoothing) == (1.0, 1.0, None, 0.0)


def test_every_key_reaches_its_place():
    words = "MODEL.ID_LOSS_WEIGHT 0.25 MODEL.TRIPLET_LOSS_WEIGHT 2 MODEL.NO_MARGIN false SOLVER.MARGIN 0.7"
    loss = build_criterion(load_config(None, [*words.split(), "MODEL.IF_LABELSMOOTH", "true"]))
    assert (loss.id_weight, loss.triplet_weight, loss.margin, loss.smoothing) == (0.25, 2.0, 0.7, 0.1)


def test_the_margin_counts_only_without_the_soft_margin():
    assert build_criterion(load_config(None, ["SOLVER.MARGIN", "0.7"])).margin is None

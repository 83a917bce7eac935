"""The sum of identity and triplet loss: each part by hand, weights, smoothing, precision."""

import math

import pytest
import torch

from reid.losses import IdentityTripletLoss

FEAT = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 0, 1, 1])


def cross_entropy_by_hand(smoothing):
    """- sum_c ((1 - e) y_c + e / C) log softmax(logits)_c, averaged."""
    total = 0.0
    for logits, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        norm = math.log(sum(math.exp(x) for x in logits))
        for c, logit in enumerate(logits):
            target = (1 - smoothing) * (c == label) + smoothing / len(logits)
            total -= target * (logit - norm)
    return total / len(LABELS)


@pytest.mark.parametrize(("smooth", "e"), [(False, 0.0), (True, 0.1)])
def test_identity_loss_equals_smoothed_cross_entropy_by_hand(smooth, e):
    loss = IdentityTripletLoss(smooth_labels=smooth)(FEAT, LOGITS, LABELS)
    assert loss.parts["id"].item() == pytest.approx(cross_entropy_by_hand(e), rel=1e-6)


def test_smoothing_changes_the_loss():
    assert cross_entropy_by_hand(0.1) != pytest.approx(cross_entropy_by_hand(0.0), rel=1e-3)


@pytest.mark.parametrize(("margin", "expected"), [(1.5, 1.0), (0.3, 0.575)])
def test_triplet_part_takes_the_margin(margin, expected):
    # Gaps on the line are -2, -1, 2, -2.
    loss = IdentityTripletLoss(margin=margin)(FEAT, LOGITS, LABELS)
    assert loss.parts["triplet"].item() == pytest.approx(expected, rel=1e-6)


def test_triplet_part_is_soft_without_a_margin():
    loss = IdentityTripletLoss()(FEAT, LOGITS, LABELS)
    expected = sum(math.log(1 + math.exp(gap)) for gap in (-2, -1, 2, -2)) / 4
    assert loss.parts["triplet"].item() == pytest.approx(expected, rel=1e-6)


def test_total_is_the_weighted_sum_of_unweighted_parts():
    loss = IdentityTripletLoss(id_weight=0.25, triplet_weight=3.0, margin=1.5)(FEAT, LOGITS, LABELS)
    assert loss.total.shape == ()
    assert loss.total.item() == pytest.approx(0.25 * cross_entropy_by_hand(0) + 3.0 * 1.0, rel=1e-6)
    assert loss.parts["triplet"].item() == pytest.approx(1.0)


@pytest.mark.parametrize(("weights", "left"), [((2.0, 0.0), "id"), ((0.0, 2.0), "triplet")])
def test_weight_zero_leaves_a_loss_out_even_where_its_input_is_nan(weights, left):
    feat, logits = FEAT.clone(), LOGITS.clone()
    (feat if left == "id" else logits).fill_(torch.nan)
    loss = IdentityTripletLoss(*weights, margin=1.5)(feat, logits, LABELS)
    assert list(loss.parts) == [left]
    assert loss.total.item() == pytest.approx(
        2 * (cross_entropy_by_hand(0) if left == "id" else 1.0), rel=1e-6
    )


def test_both_parts_send_their_gradient():
    feat, logits = FEAT.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    IdentityTripletLoss()(feat, logits, LABELS).total.backward()
    assert feat.grad.abs().sum() > 0
    assert logits.grad.abs().sum() > 0


def test_half_outputs_under_autocast_give_a_float32_loss():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = IdentityTripletLoss(margin=1.5)(FEAT.half(), LOGITS.half(), LABELS)
    assert {loss.total.dtype, *(part.dtype for part in loss.parts.values())} == {torch.float32}
    assert loss.parts["id"].item() == pytest.approx(cross_entropy_by_hand(0), rel=1e-6)


def test_two_weights_of_zero_are_refused():
    with pytest.raises(ValueError, match="at least one of the identity and the triplet loss needs a weight"):
        IdentityTripletLoss(0.0, 0.0)

"""Batch-hard triplet: by hand on a line, against plain loops, and on batches at the edge."""

import math

import pytest
import torch
from naive_triplet import naive_triplet

from reid.losses import batch_hard_triplet

LINE = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
PAIRS = torch.tensor([0, 0, 1, 1])
# Farthest positive minus nearest negative of each point on the line: 1-3, 1-2, 4-2, 4-6.
GAPS = [-2.0, -1.0, 2.0, -2.0]


def test_soft_margin_by_hand_on_a_line():
    expected = sum(math.log(1 + math.exp(gap)) for gap in GAPS) / 4
    assert batch_hard_triplet(LINE, PAIRS).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.0, 2 / 4), (0.3, 2.3 / 4), (1.5, (0.5 + 3.5) / 4), (2.5, 7 / 4)]
)
def test_fixed_margin_by_hand_on_a_line(margin, expected):
    # Hinges at 0.3: 0, 0, 2.3, 0; at 1.5: 0, 0.5, 3.5, 0; at 2.5: 0.5, 1.5, 4.5, 0.5.
    assert batch_hard_triplet(LINE, PAIRS, margin).item() == pytest.approx(expected, rel=1e-6)


def test_the_naive_loop_agrees_with_the_hand():
    assert naive_triplet(LINE.tolist(), PAIRS.tolist(), 1.5) == pytest.approx(1.0)


@pytest.mark.parametrize("margin", [None, 0.0, 0.3, 5.0])
@pytest.mark.parametrize(
    "counts", [[4, 4, 4], [1, 2, 5], [3, 1, 1], [2, 7], [1, 1, 1, 2], [6], [1, 1, 1], [1]], ids=str
)
def test_equals_plain_loops_on_ragged_batches(counts, margin):
    generator = torch.Generator().manual_seed(sum(counts))
    labels = torch.cat([torch.full((count,), 10 - i) for i, count in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    feats = torch.randn(len(labels), 3, generator=generator, dtype=torch.float64)
    expected = naive_triplet(feats.tolist(), labels.tolist(), margin)
    loss = batch_hard_triplet(feats, labels, margin)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("labels", [[5, 5, 5, 5], [0, 1, 2, 3]], ids=["one identity", "one image each"])
@pytest.mark.parametrize("margin", [None, 0.3])
def test_without_a_triplet_the_loss_is_zero_and_still_goes_backward(labels, margin):
    feats = LINE.clone().requires_grad_()
    loss = batch_hard_triplet(feats, torch.tensor(labels), margin)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(feats.grad, torch.zeros(4, 1))


def test_an_anchor_without_a_positive_is_only_a_negative():
    # Point 3 is alone; 0 and 1 have gaps 1-3 and 1-2.
    loss = batch_hard_triplet(LINE[:3], torch.tensor([0, 0, 1]))
    expected = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("margin", [None, 0.3])
@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 0, 1]])
def test_nan_propagates(labels, margin):
    feats = LINE.clone()
    feats[1] = torch.nan
    assert torch.isnan(batch_hard_triplet(feats, torch.tensor(labels), margin))


@pytest.mark.parametrize("margin", [None, 0.3])
def test_equal_images_have_finite_gradients(margin):
    feats = torch.zeros(4, 3, requires_grad=True)
    loss = batch_hard_triplet(feats, PAIRS, margin)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2) if margin is None else 0.3, rel=1e-6)
    assert torch.isfinite(feats.grad).all()


@pytest.mark.parametrize("margin", [None, 9.0])
def test_gradient_equals_finite_differences(margin):
    feats = torch.randn(
        7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, labels, margin), feats)


def test_order_and_place_do_not_matter():
    generator = torch.Generator().manual_seed(0)
    feats, labels = (
        torch.randn(9, 4, generator=generator, dtype=torch.float64),
        torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 3]),
    )
    order = torch.randperm(9, generator=generator)
    loss = batch_hard_triplet(feats, labels)
    torch.testing.assert_close(batch_hard_triplet(feats[order], labels[order]), loss)
    torch.testing.assert_close(batch_hard_triplet(feats + 3, labels), loss)
    torch.testing.assert_close(batch_hard_triplet(feats, labels * 7 + 2), loss)


def test_half_features_under_autocast_give_float32():
    # The squares of 900 and 2100 overflow float16.
    feats = (LINE * 300).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = batch_hard_triplet(feats, PAIRS, 0.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(600 / 4, rel=1e-6)


def test_close_pairs_far_from_the_origin_keep_their_distance():
    # |x|^2 + |y|^2 - 2xy in float32 would lose 0.25 beside 4096^2.
    feats = torch.tensor([[4096.0], [4096.25], [4097.0], [4097.25]])
    loss = batch_hard_triplet(feats.expand(-1, 1).contiguous(), PAIRS, 1.0)
    assert loss.item() == pytest.approx((2 * (0.25 - 1.0 + 1.0) + 2 * (0.25 - 0.75 + 1.0)) / 4, abs=1e-6)


@pytest.mark.parametrize(
    ("feats", "labels", "shown"),
    [
        ((4,), (4,), r"\(4,\), \(4,\)"),
        ((4, 2), (3,), r"\(4, 2\), \(3,\)"),
        ((4, 2), (4, 1), r"\(4, 2\), \(4, 1\)"),
    ],
)
def test_shapes_that_do_not_match_are_refused_and_shown(feats, labels, shown):
    with pytest.raises(ValueError, match=rf"feats must be \(B, D\) and labels \(B,\), got {shown}"):
        batch_hard_triplet(torch.zeros(feats), torch.zeros(labels, dtype=torch.long))

"""Losses between images and texts: by hand, against plain loops, and at the edge."""

import math

import pytest
import torch

from reid.losses.contrast import image_to_text_loss, supervised_contrast


def naive_contrast(anchors, targets, anchor_ids, target_ids):
    losses = []
    for anchor, identity in zip(anchors, anchor_ids, strict=True):
        scores = [sum(a * t for a, t in zip(anchor, target, strict=True)) for target in targets]
        total = math.log(sum(math.exp(score) for score in scores))
        positives = [score for score, other in zip(scores, target_ids, strict=True) if other == identity]
        if positives:
            losses.append(-sum(score - total for score in positives) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


def random_pair(counts, seed=0, dim=3):
    generator = torch.Generator().manual_seed(seed)
    feats = [torch.randn(count, dim, generator=generator, dtype=torch.float64) for count in counts]
    ids = [torch.randint(0, 4, (count,), generator=generator) for count in counts]
    return *feats, *ids


def test_two_images_and_two_texts_by_hand():
    # Image 0 scores 2 with its text and 0 with the other; image 1 scores 1 with both.
    images, texts = torch.tensor([[2.0, 0.0], [1.0, 1.0]]), torch.eye(2)
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    loss = supervised_contrast(images, texts, torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_several_texts_of_an_identity_share_its_loss():
    # Scores 1, 0, 0; positives are the first two: the mean of log p_0 and log p_1.
    images, texts = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    expected = math.log(math.e + 2) - 0.5
    loss = supervised_contrast(images, texts, torch.tensor([7]), torch.tensor([7, 7, 8]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("counts", [(6, 6), (1, 9), (9, 1), (3, 17)], ids=str)
def test_equals_plain_loops(counts):
    for seed in range(4):
        pair = random_pair(counts, seed)
        expected = naive_contrast(*(column.tolist() for column in pair))
        loss = supervised_contrast(*pair)
        assert loss.dtype == torch.float64
        assert loss.item() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_one_target_alone_is_certain():
    loss = supervised_contrast(torch.ones(2, 3), torch.ones(1, 3), torch.tensor([4, 4]), torch.tensor([4]))
    assert loss.item() == 0


def test_without_a_target_of_its_identity_the_loss_is_zero_and_still_goes_backward():
    anchors = torch.ones(2, 3, requires_grad=True)
    loss = supervised_contrast(anchors, torch.ones(2, 3), torch.tensor([0, 1]), torch.tensor([2, 3]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(anchors.grad, torch.zeros(2, 3))


def test_an_anchor_without_a_target_of_its_identity_is_left_out():
    anchors, targets, _, _ = random_pair((3, 3))
    alone = supervised_contrast(anchors[:1], targets, torch.tensor([0]), torch.tensor([0, 1, 1]))
    loss = supervised_contrast(anchors, targets, torch.tensor([0, 5, 6]), torch.tensor([0, 1, 1]))
    torch.testing.assert_close(loss, alone)


def test_gradients_of_both_sides_equal_finite_differences():
    anchors, targets, _, _ = random_pair((4, 5))
    ids = (torch.tensor([0, 1, 1, 9]), torch.tensor([1, 0, 1, 0, 2]))
    anchors.requires_grad_()
    targets.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, t: supervised_contrast(a, t, *ids), (anchors, targets))


def test_large_scores_stay_finite():
    feats = torch.eye(2) * 1000
    loss = supervised_contrast(feats, feats, torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(1e6)


def test_half_features_under_autocast_give_float32():
    # 300 squared overflows float16.
    feats, ids = (torch.eye(2) * 300).half(), torch.tensor([0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        contrast = supervised_contrast(feats, feats, ids, ids.flip(0))
        classified = image_to_text_loss(feats, feats, ids.flip(0))
    assert contrast.dtype == classified.dtype == torch.float32
    assert contrast.item() == pytest.approx(9e4)
    assert classified.item() == pytest.approx(9e4)


def test_nan_propagates_from_a_target():
    targets = torch.ones(2, 3)
    targets[1, 0] = torch.nan
    ids = torch.tensor([0, 1])
    assert torch.isnan(supervised_contrast(torch.ones(2, 3), targets, ids, ids))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_images_are_classified_by_texts_by_hand(smoothing):
    # Scores 2 and 0 for label 0, 1 and 1 for label 1; the smoothed part is the mean over both classes.
    images, texts = torch.tensor([[2.0, 0.0], [1.0, 1.0]]), torch.eye(2)
    total = math.log(1 + math.exp(-2))
    first = (1 - smoothing) * total + smoothing * (total + (total + 2)) / 2
    loss = image_to_text_loss(images, texts, torch.tensor([0, 1]), smoothing)
    assert loss.item() == pytest.approx((first + math.log(2)) / 2, rel=1e-6)


def test_with_one_text_an_identity_classifying_is_contrasting():
    images, texts, labels, _ = random_pair((8, 4))
    contrast = supervised_contrast(images, texts, labels, torch.arange(4))
    torch.testing.assert_close(image_to_text_loss(images, texts, labels), contrast)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4,), (4, 2), (4,), (4,)), r"anchors must be \(N, D\) with one identity a row, got \(4,\), \(4,\)"),
        (((4, 2), (3, 2), (4,), (4,)), r"targets must be \(N, D\) .*got \(3, 2\), \(4,\)"),
        (((4, 2), (4, 3), (4,), (4,)), r"anchors and targets must have one width, got \(4, 2\), \(4, 3\)"),
    ],
)
def test_shapes_that_do_not_match_are_refused_and_shown(shapes, message):
    anchors, targets, *ids = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        supervised_contrast(anchors, targets, *ids)


@pytest.mark.parametrize(
    ("feats", "texts", "message"),
    [
        ((4, 2), (5, 3), r"feats and text_features must have one width, got \(4, 2\), \(5, 3\)"),
        ((4, 2), (2,), r"feats and text_features must have one width, got \(4, 2\), \(2,\)"),
        ((3, 2), (5, 2), r"feats must be \(N, D\) with one identity a row, got \(3, 2\), \(4,\)"),
    ],
)
def test_texts_that_do_not_match_are_refused(feats, texts, message):
    with pytest.raises(ValueError, match=message):
        image_to_text_loss(torch.zeros(feats), torch.zeros(texts), torch.zeros(4, dtype=torch.long))

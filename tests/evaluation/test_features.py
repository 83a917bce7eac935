import sys
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from reid.evaluation import FeatureSet, evaluation_mode, extract_features
from reid.utils import InputError

CPU = torch.device("cpu")


class Batch(NamedTuple):
    images: torch.Tensor
    pids: torch.Tensor
    camids: torch.Tensor
    indices: torch.Tensor


class MeanColour(nn.Module):
    """Embeds an image as its mean colour, and notes how it was called."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm1d(3).eval()
        self.scale = nn.Parameter(torch.ones(3))
        self.seen = []

    def embed(self, images):
        self.seen.append((self.training, self.dropout.training, torch.is_grad_enabled()))
        return self.dropout(images.mean(dim=(2, 3))) * self.scale


def batches(*sizes):
    """Images whose colour is their row number, of identity 10 + row and camera 20 + row."""
    start = 0
    for size in sizes:
        rows = torch.arange(start, start + size)
        yield Batch(rows.float()[:, None, None, None].expand(-1, 3, 4, 2), rows + 10, rows + 20, rows)
        start += size


def table(*rows):
    count = len(rows)
    return FeatureSet(torch.tensor(rows).reshape(count, -1), torch.arange(count), torch.arange(count) + 5)


def test_rows_come_in_the_order_of_the_batches():
    features = extract_features(MeanColour(), batches(4, 4, 1), CPU, progress=False)
    assert len(features) == 9
    assert torch.equal(features.feats, torch.arange(9.0)[:, None].expand(-1, 3))
    assert features.pids.tolist() == list(range(10, 19))
    assert features.camids.tolist() == list(range(20, 29))
    assert features.pids.dtype == features.camids.dtype == torch.int64


class LeftHalf(nn.Module):
    """Embeds an image as the sum and the largest value of its left half, which a mirror image moves away."""

    def embed(self, images):
        half = images[..., : images.shape[-1] // 2].flatten(1)
        return torch.stack([half.sum(dim=1), half.amax(dim=1)], dim=1)


def test_with_flip_a_feature_is_the_mean_over_image_and_mirror_image():
    images = torch.randn(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(5)
    found = extract_features(
        LeftHalf(), [Batch(images, rows, rows, rows)], CPU, flip=True, progress=False
    ).feats
    for image, feature in zip(images.tolist(), found.tolist(), strict=True):
        sides = []
        for order in (1, -1):
            left = [value for channel in image for line in channel for value in line[::order][:3]]
            sides.append((sum(left), max(left)))
        expected = [(one + other) / 2 for one, other in zip(*sides, strict=True)]
        assert feature == pytest.approx(expected, abs=1e-5)
    plain = extract_features(LeftHalf(), [Batch(images, rows, rows, rows)], CPU, progress=False).feats
    assert not torch.allclose(plain, found)


def test_model_runs_in_evaluation_mode_and_gets_every_mode_back():
    model = MeanColour().train()
    model.frozen.eval()
    extract_features(model, batches(2), CPU, progress=False)
    assert model.seen == [(False, False, False)]
    assert [module.training for module in (model, model.dropout, model.frozen)] == [True, True, False]


def test_modes_come_back_after_a_fault():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout().eval())
    with pytest.raises(IndexError), evaluation_mode(model):
        model(torch.zeros(1, 2))[2]
    assert [module.training for module in model.modules()] == [True, True, False]


def test_half_precision_features_become_float32_and_can_be_trained_on():
    features = extract_features(MeanColour().half(), halved(batches(2)), CPU, progress=False)
    assert features.feats.dtype == torch.float32
    assert not features.feats.is_inference()
    assert not features.feats.requires_grad


def halved(items):
    return (batch._replace(images=batch.images.half()) for batch in items)


@pytest.mark.parametrize(("is_terminal", "interval"), [(True, 0.5), (False, 10.0)])
def test_progress_goes_to_stderr_seldom_without_a_terminal(monkeypatch, capsys, is_terminal, interval):
    shown = {}

    def record(items, **options):
        shown.update(options)
        return items

    monkeypatch.setattr("reid.evaluation.features.tqdm", record)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    extract_features(MeanColour(), batches(2), CPU, total=1)
    assert (shown["mininterval"], shown["total"], shown["disable"]) == (interval, 1, False)
    assert "file" not in shown  # tqdm's own default is stderr


def test_bar_leaves_stdout_alone(capsys):
    extract_features(MeanColour(), batches(2), CPU)
    output = capsys.readouterr()
    assert output.out == ""
    assert "features" in output.err
    extract_features(MeanColour(), batches(2), CPU, progress=False)
    assert capsys.readouterr().err == ""


def test_no_images_are_refused():
    with pytest.raises(InputError, match="at least one image, got none"):
        extract_features(MeanColour(), [], CPU, progress=False)


def test_features_that_are_not_finite_are_refused():
    model = MeanColour()
    model.scale.data[0] = torch.inf
    # Row 0 is 0 * inf, a NaN.
    with pytest.raises(InputError, match="extracted features must be finite, but 3 of 3 rows"):
        extract_features(model, batches(3), CPU, progress=False)


def test_feature_rows_and_labels_must_match_in_number():
    with pytest.raises(ValueError, match=r"one length, got \[1, 2\]"):
        FeatureSet(torch.zeros(2, 3), torch.zeros(2), torch.zeros(1))


def test_empty_table_is_refused():
    with pytest.raises(InputError, match="at least one row, got none"):
        FeatureSet(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0))


def test_select_takes_rows_in_the_given_order():
    picked = table([1.0], [2.0], [3.0]).select(np.array([2, 0]))
    assert picked.feats.tolist() == [[3.0], [1.0]]
    assert picked.pids.tolist() == [2, 0]
    assert picked.camids.tolist() == [7, 5]

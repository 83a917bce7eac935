"""Moments of features: streamed, merged, saved; against numpy's own."""

import numpy as np
import pytest
import torch
from denoisers import randomise_denoisers
from torch import nn

from reid.denoise import (
    DenoisedFeature,
    Moments,
    NoiseSchedule,
    attach_denoisers,
    gather_statistics,
    load_statistics,
    merge_statistics,
    save_statistics,
)

ALL = None  # per_image: every vector


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def check(moments, rows, rtol=1e-10):
    """``rows`` (n, d) are the vectors that the moments are of."""
    rows = rows.detach().double().numpy()
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.mean.numpy(), rows.mean(0), rtol=rtol, atol=rtol)
    expected = np.cov(rows, rowvar=False, bias=True)
    np.testing.assert_allclose(moments.covariance.numpy(), expected, rtol=rtol, atol=rtol * expected.max())


class Network(nn.Module):
    """A convolution whose output is changed in place, a linear layer on tokens and one on their mean."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2)
        self.norm = nn.BatchNorm1d(4)
        self.mlp = nn.Sequential(nn.Linear(4, 5), nn.GELU())
        self.last = nn.Linear(5, 2)

    def forward(self, x):
        tokens = self.conv(x).relu_().flatten(2).transpose(1, 2)
        return self.last(self.mlp(self.norm(tokens.mT).mT).mean(1))


def network():
    torch.manual_seed(0)
    return Network().double()


IMAGES = draw(10, 3, 9, 7)


def test_moments_are_those_of_the_plain_networks_features():
    """Whatever denoisers, schedule and mode are, and although a later layer works in place."""
    plain = network().eval()
    conv = plain.conv(IMAGES)
    tokens = plain.norm(conv.relu().flatten(2)).mT
    model = attach_denoisers(plain, [".*"], NoiseSchedule(9, 0.1, 0.3), steps=3)
    statistics = gather_statistics(randomise_denoisers(model).train(), IMAGES, ALL)
    assert list(statistics) == ["conv", "mlp.0", "last"]
    check(statistics["conv"], conv.permute(0, 2, 3, 1).reshape(-1, 4))
    check(statistics["mlp.0"], tokens.reshape(-1, 4))
    check(statistics["last"], plain.mlp(tokens).mean(1))


def test_the_model_is_left_as_it_was():
    model = attach_denoisers(network(), "all").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    gather_statistics(model, IMAGES)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_tensor_its_batches_and_one_image_at_a_time_are_the_same():
    model = attach_denoisers(network(), "all")
    whole = gather_statistics(model, IMAGES, ALL)
    for batches in (IMAGES.split(3), (image[None] for image in IMAGES), [IMAGES, IMAGES[:0]]):
        for name, moments in gather_statistics(model, batches, ALL).items():
            assert moments.count == whole[name].count
            torch.testing.assert_close(moments.mean, whole[name].mean, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(moments.scatter, whole[name].scatter, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("per_image", [ALL, 2])
def test_merged_statistics_are_those_of_the_union(per_image):
    model = attach_denoisers(network(), "all")
    first, second = IMAGES.split([7, 3])
    union = gather_statistics(model, [first, second], per_image)
    parts = [gather_statistics(model, part, per_image) for part in (first, second)]
    for name, moments in merge_statistics(*parts).items():
        assert moments.count == union[name].count
        torch.testing.assert_close(moments.mean, union[name].mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(moments.scatter, union[name].scatter, rtol=1e-10, atol=1e-12)


def test_moments_and_their_union_by_hand():
    """1 and 3 have mean 2 and scatter 2; 8 beside them: mean 4, scatter 9 + 1 + 16."""
    model = attach_denoisers(nn.Linear(1, 1).double(), ".*")
    first = gather_statistics(model, torch.tensor([[1.0], [3.0]], dtype=torch.float64))[""]
    second = gather_statistics(model, torch.tensor([[8.0]], dtype=torch.float64))[""]
    assert (first.count, first.mean.item(), first.scatter.item()) == (2, 2.0, 2.0)
    assert (second.count, second.mean.item(), second.scatter.item()) == (1, 8.0, 0.0)
    both = first.merge(second)
    assert (both.count, both.mean.item(), both.scatter.item()) == (3, 4.0, 26.0)


def test_many_float32_vectors_far_from_zero_keep_their_covariance():
    """A mean of 1000 and a deviation of 0.1: squares of the raw numbers would leave nothing of it."""
    features = 1000 + draw(20_000, 6, dtype=torch.float32) * 0.1
    moments = gather_statistics(attach_denoisers(nn.Linear(6, 2), ".*"), features)[""]
    check(moments, features, rtol=1e-5)


def test_half_precision_is_summed_in_float32():
    features = draw(3000, 6).bfloat16()
    moments = gather_statistics(attach_denoisers(nn.Linear(6, 2).bfloat16(), ".*"), features)[""]
    with torch.autocast("cpu", torch.bfloat16):
        check(
            gather_statistics(attach_denoisers(nn.Linear(6, 2), ".*"), features.float())[""], features, 1e-5
        )
    check(moments, features, rtol=1e-5)


def test_some_vectors_of_each_image_stand_for_all_and_every_position_takes_its_turn():
    """129 tokens of 16 images, at most 16 a piece: every 9th of 2064 would share the factor 3 with it."""
    tokens = torch.eye(129, dtype=torch.float64).expand(16, -1, -1)
    model = attach_denoisers(nn.Linear(129, 1).double(), ".*")
    moments = gather_statistics(model, tokens, 16)[""]
    assert moments.count == -(-16 * 129 // 11)
    seen = moments.mean * moments.count
    assert seen.min() > 0.999
    assert seen.max() < 2.001


def test_windows_count_as_their_image():
    """Where a layer's first dimension is not the batch, the limit is still one of images."""

    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = nn.Sequential(nn.Linear(3, 3))

        def forward(self, x):
            return self.mlp(x.flatten(0, 1))

    model = attach_denoisers(Windows().double(), "mlp")
    assert gather_statistics(model, draw(4, 100, 3), 5)["mlp.0"].count <= 4 * 5


def test_a_feature_without_a_batch_is_one_vector():
    model = attach_denoisers(nn.Sequential(nn.Flatten(0), nn.Linear(3, 1)).double(), "1")
    check(gather_statistics(model, draw(6, 1, 3).split(1))["1"], draw(6, 3))


def test_a_denoised_final_feature_is_measured_too():
    model = DenoisedFeature(nn.Linear(3, 4).double(), 4).double()
    images = draw(20, 3)
    check(gather_statistics(model, images)[""], model.network(images))


def test_saved_statistics_come_back_bit_for_bit(tmp_path):
    statistics = gather_statistics(attach_denoisers(network(), "all"), IMAGES)
    save_statistics(statistics, tmp_path / "statistics.pt")
    again = load_statistics(tmp_path / "statistics.pt")
    assert list(again) == list(statistics)
    for name, moments in again.items():
        assert moments.count == statistics[name].count
        assert torch.equal(moments.mean, statistics[name].mean)
        assert torch.equal(moments.scatter, statistics[name].scatter)
    assert [path.name for path in tmp_path.iterdir()] == ["statistics.pt"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "statistics.pt"
    path.write_bytes(b"old")

    def fail(value, file):
        file.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk is full"):
        save_statistics({}, path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


KIND = "reid.denoise statistics 1"
GOOD = {"count": 2, "mean": torch.zeros(3), "scatter": torch.zeros(3, 3)}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no statistics",
        [1, 2],
        {"kind": "other", "layers": {}},
        {"kind": KIND, "layers": {"a": {"count": 2}}},
        {"kind": KIND, "layers": {"a": GOOD | {"count": 0}}},
        {"kind": KIND, "layers": {"a": GOOD | {"mean": torch.zeros(4)}}},
        {"kind": KIND, "layers": {"a": GOOD | {"mean": torch.ones(3) / 0}}},
        {"kind": KIND, "layers": {"a": GOOD | {"mean": 3}}},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_file_of_anything_else_is_refused(tmp_path, content):
    path = tmp_path / "a.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=r"a\.pt holds no statistics of this version; gather them anew"):
        load_statistics(path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 2), "at least one image, got none"),
        ([], "at least one image, got none"),
        ([(torch.zeros(1, 2), 3)], r"tensors, got tuple; pass \(batch.images for batch in loader\)"),
        (torch.full((3, 2), float("nan")), "statistics of the model: moments must be finite"),
    ],
)
def test_images_that_give_no_statistics_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        gather_statistics(attach_denoisers(nn.Linear(2, 2), ".*"), images)


def test_a_model_without_denoisers_a_limit_of_none_and_other_layers_are_refused():
    with pytest.raises(ValueError, match="call attach_denoisers first"):
        gather_statistics(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="per_image must be at least 1, got 0"):
        gather_statistics(attach_denoisers(nn.Linear(2, 2), ".*"), torch.zeros(1, 2), 0)
    moments = Moments(1, torch.zeros(2), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="only one side has b"):
        merge_statistics({"a": moments}, {"a": moments, "b": moments})
    with pytest.raises(ValueError, match="widths must agree, got 2 and 3"):
        moments.merge(Moments(1, torch.zeros(3), torch.zeros(3, 3)))


def test_a_layer_that_does_not_run_is_named():
    class Skips(Network):
        def forward(self, x):
            return super().forward(x) if self.training else self.conv(x)

    with pytest.raises(RuntimeError, match=r"did not run: mlp\.0; leave"):
        gather_statistics(attach_denoisers(Skips().double().train(), "mlp"), IMAGES)

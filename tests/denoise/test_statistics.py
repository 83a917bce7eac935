"""Moments of features: streamed, merged, saved; against numpy's own."""

import hashlib

import numpy as np
import pytest
import torch
from denoisers import randomise_denoisers
from torch import nn

from reid.data import Batch
from reid.denoise import (
    DenoisedFeature,
    Moments,
    NoiseSchedule,
    attach_denoisers,
    gather_statistics,
    load_statistics,
    merge_statistics,
    recorder,
    save_statistics,
)

ALL = None  # per_image: every vector


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def zeros(d):
    """A mean and a scatter."""
    return torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)


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


@pytest.mark.parametrize("per_image", [ALL, 1])
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
    moments = gather_statistics(model, tokens, 16, at_least=0)[""]
    assert moments.count == 16 * 129
    seen = moments.mean * -(-16 * 129 // 11)
    assert seen.min() > 0.999
    assert seen.max() < 2.001


def test_over_as_many_batches_as_the_stride_every_vector_counts_once():
    """Six batches of 35 one-hot vectors, every 6th of them, each batch beginning one further."""
    tokens = torch.eye(35, dtype=torch.float64)[None]
    model = attach_denoisers(nn.Linear(35, 1).double(), ".*")
    moments = gather_statistics(model, [tokens] * 6, 6, at_least=0)[""]
    assert moments.count == 6 * 35
    # A batch has 5 or 6 vectors of weight 7 or 35/6.
    assert moments.mean.min() * 6 * 35 == pytest.approx(35 / 6)
    assert moments.mean.max() * 6 * 35 == pytest.approx(7)


def naive_moments(batches, stride, at_least):
    """Count, mean and covariance by a plain loop over vectors and their weights."""
    count, later, weighted = 0, 0, []
    for rows in batches:
        if count < at_least:
            weighted += [(1.0, row) for row in rows]
        else:
            chosen = [rows[i] for i in range(len(rows)) if i % stride == later % stride]
            weighted += [(len(rows) / len(chosen), row) for row in chosen]
            later += 1
        count += len(rows)
    mean = sum(weight * row for weight, row in weighted) / count
    covariance = sum(weight * np.outer(row - mean, row - mean) for weight, row in weighted) / count
    return count, mean, covariance


@pytest.mark.parametrize("buffer", [1, 3, 2048])
def test_all_vectors_of_the_first_batches_and_some_of_the_later_equal_the_plain_loop(monkeypatch, buffer):
    """Batches of 2 images of 9 vectors, at most 2 an image: every 5th of 18. Two are taken whole."""
    monkeypatch.setattr(recorder, "BUFFER", buffer)
    batches = list(draw(5, 2, 9, 4))
    model = attach_denoisers(nn.Linear(4, 1).double(), ".*")
    moments = gather_statistics(model, batches, 2, at_least=19)[""]
    count, mean, covariance = naive_moments([b.reshape(-1, 4).numpy() for b in batches], 5, 19)
    assert moments.count == count == 90
    np.testing.assert_allclose(moments.mean.numpy(), mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(moments.covariance.numpy(), covariance, rtol=1e-10, atol=1e-12)
    assert torch.equal(moments.scatter, moments.scatter.T)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_maps_positions_are_chosen_alike_in_both_layouts(channels_last):
    conv = nn.Conv2d(3, 4, 1).double()
    images = draw(4, 3, 5, 7)
    rows = conv(images).permute(0, 2, 3, 1).reshape(-1, 4).detach().numpy()
    model = attach_denoisers(conv, ".*")
    if channels_last:
        model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    moments = gather_statistics(model, [images], 5, at_least=0)[""]
    _, mean, covariance = naive_moments([rows], 9, 0)
    np.testing.assert_allclose(moments.mean.numpy(), mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(moments.covariance.numpy(), covariance, rtol=1e-10, atol=1e-12)


def test_the_sampled_moments_are_unbiased():
    """Positions differ in mean and spread; the mean of many batches comes near that of all vectors."""
    batches = list(draw(300, 4, 31, 3) * torch.linspace(0.2, 3, 31)[:, None] + torch.arange(31.0)[:, None])
    model = attach_denoisers(nn.Linear(3, 1).double(), ".*")
    some, every = (gather_statistics(model, batches, n, at_least=0)[""] for n in (4, ALL))
    assert some.count == every.count == 300 * 4 * 31
    torch.testing.assert_close(some.mean, every.mean, rtol=0.01, atol=0)
    torch.testing.assert_close(some.covariance, every.covariance, rtol=0.02, atol=0)


def test_few_images_are_taken_whole_and_give_the_best_denoisers():
    """As many vectors as a quarter of the channels an image: a sample would have fewer than channels."""
    model = attach_denoisers(nn.Sequential(nn.Linear(64, 3)).double(), "0")
    images = draw(12, 40, 64)
    check(gather_statistics(model, images)["0"], images.reshape(-1, 64))


def test_so_many_vectors_are_all_taken_by_default():
    assert recorder.least_vectors(1536) == 16 * 1536
    assert recorder.least_vectors(384) == 2**34 // 384**2 == 116_508
    assert all(recorder.least_vectors(d) >= 16 * d for d in (1, 64, 512, 2048, 4096))


def test_windows_count_as_their_image():
    """Where a layer's first dimension is not the batch, the limit is still one of images."""

    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = nn.Sequential(nn.Linear(3, 3))

        def forward(self, x):
            return self.mlp(x.flatten(0, 1))

    model = attach_denoisers(Windows().double(), "mlp")
    images = draw(4, 100, 3)
    moments = gather_statistics(model, images, 5, at_least=0)["mlp.0"]
    # 400 vectors, every 21st of them: 20 at most.
    chosen = images.reshape(-1, 3)[::21]
    assert moments.count == 400
    torch.testing.assert_close(moments.mean, chosen.mean(0))


def test_a_feature_without_a_batch_is_one_vector():
    model = attach_denoisers(nn.Sequential(nn.Flatten(0), nn.Linear(3, 1)).double(), "1")
    check(gather_statistics(model, draw(6, 1, 3).split(1))["1"], draw(6, 3))


def test_a_denoised_final_feature_is_measured_too():
    model = DenoisedFeature(nn.Linear(3, 4).double(), 4).double()
    images = draw(20, 3)
    check(gather_statistics(model, images)[""], model.network(images))


def test_a_batch_may_hold_all_arguments():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = nn.Sequential(nn.Linear(3, 3))

        def forward(self, x, shift=None, scale=None):
            return self.mlp(x + shift[:, None])

    model, images, shift = attach_denoisers(Shifted().double(), "mlp"), draw(6, 3), torch.arange(6.0)
    batches = [(images[:4], shift[:4], None), (images[4:], shift[4:], None)]
    check(gather_statistics(model, batches)["mlp.0"], images + shift[:, None])


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
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk is full"):
        save_statistics({}, path)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(("written", "asked"), [("a", "a"), ("a", None), ("a", ""), ("", "a"), ("", None)])
def test_statistics_are_read_for_the_weights_that_they_are_of(tmp_path, written, asked):
    save_statistics({"0": Moments(1, *zeros(2))}, tmp_path / "a.pt", of=written)
    assert list(load_statistics(tmp_path / "a.pt", of=asked)) == ["0"]


def test_statistics_of_other_weights_are_refused(tmp_path):
    save_statistics({}, tmp_path / "a.pt", of="these")
    with pytest.raises(
        ValueError, match=r"a\.pt holds statistics of other weights, 'these', not 'those'; gath"
    ):
        load_statistics(tmp_path / "a.pt", of="those")


def test_a_file_holds_half_of_each_scatter(tmp_path):
    rows = draw(50, 300)
    statistics = gather_statistics(attach_denoisers(nn.Linear(300, 2).double(), ".*"), rows)
    save_statistics(statistics, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 8 * 300 * 300 * 0.6


@pytest.mark.parametrize(
    ("count", "mean", "scatter", "message"),
    [
        *(
            (count, *zeros(2), "whole number in 1")
            for count in (0, -1, True, 2.0, float("inf"), 2**63, 10**400)
        ),
        (1, zeros(2)[0].float(), zeros(2)[1], r"float64, got torch\.float32 and torch\.float64"),
        (1, zeros(2)[0], zeros(2)[1].to(torch.int64), r"float64, got torch\.float64 and torch\.int64"),
        (1, zeros(2)[0], zeros(3)[1], r"got \(2,\) and \(3, 3\)"),
        (1, zeros(2)[0] / 0, zeros(2)[1], "moments must be finite"),
    ],
)
def test_what_are_no_moments_is_refused(count, mean, scatter, message):
    with pytest.raises(ValueError, match=message):
        Moments(count, mean, scatter)


def test_the_same_statistics_are_the_same_bytes_whatever_the_file_is_called(tmp_path):
    statistics = {"0": Moments(3, *zeros(4))}
    save_statistics(statistics, tmp_path / "a.pt", of="these")
    save_statistics(statistics, tmp_path / "longer_name.pt", of="these")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "longer_name.pt").read_bytes()


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    """What it may change is not read: dates and the like in the archive's own tables."""
    path = tmp_path / "a.pt"
    moments = gather_statistics(attach_denoisers(nn.Linear(9, 2).double(), ".*"), draw(40, 9))[""]
    save_statistics({"0": moments}, path, of="these")
    content, refused = path.read_bytes(), 0
    generator = np.random.default_rng(0)
    for place in generator.choice(8 * len(content), 400, replace=False):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = load_statistics(path, of="these")["0"]
        except ValueError:
            refused += 1
        else:
            assert found.count == moments.count
            assert torch.equal(found.mean, moments.mean)
            assert torch.equal(found.scatter, moments.scatter)
    assert refused > 100


KIND = "reid.denoise statistics 3"
GOOD = {
    "count": 2,
    "mean": torch.zeros(3, dtype=torch.float64),
    "upper": torch.zeros(6, dtype=torch.float64),
}


def holding(of="", digest=None, **parts):
    """What a file holds of one layer, with the digest that belongs to it."""
    layers = {"a": GOOD | parts}
    return {"kind": KIND, "of": of, "layers": layers, "digest": digest or digest_of(of, layers)}


def digest_of(of, layers):
    """By a plain loop over numbers."""
    content = [repr(of).encode()]
    for name, parts in layers.items():
        mean, upper = parts["mean"], parts["upper"]
        content.append(
            repr((name, parts["count"], mean.dtype, mean.shape, upper.dtype, upper.shape)).encode()
        )
        content += [value.tobytes() for part in (mean, upper) for value in part.flatten().numpy()]
    return hashlib.sha256(b"".join(content)).hexdigest()


def test_the_digest_is_that_of_a_plain_loop(tmp_path):
    torch.save(holding("these"), tmp_path / "a.pt")
    assert load_statistics(tmp_path / "a.pt", of="these")["a"].count == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no statistics",
        [1, 2],
        {"kind": "other", "of": "", "layers": {}},
        {"kind": "reid.denoise statistics 2", "of": "", "layers": {"a": GOOD}},
        {"kind": KIND, "layers": {}},
        {"kind": KIND, "of": "", "layers": {"a": GOOD}},
        holding(digest=64 * "0"),
        holding(of=3),
        {"kind": KIND, "of": "", "layers": {"a": {"count": 2}}, "digest": ""},
        {"kind": KIND, "of": "", "layers": {"a": GOOD | {"mean": 3}}, "digest": ""},
        *(holding(count=count) for count in (0, True, 2.0, float("inf"), 10**400)),
        holding(mean=torch.zeros(4, dtype=torch.float64)),
        holding(mean=torch.zeros(3)),
        holding(mean=torch.ones(3, dtype=torch.float64) / 0),
        holding(upper=torch.zeros(6)),
        holding(upper=torch.zeros(3, 3, dtype=torch.float64)),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_file_of_anything_else_is_refused(tmp_path, content):
    path = tmp_path / "a.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    message = r"a\.pt holds no statistics of this version, or is damaged; gather them anew"
    with pytest.raises(ValueError, match=message):
        load_statistics(path)


def test_an_archive_whose_parts_lie_nowhere_is_damaged_and_a_missing_file_is_not(tmp_path, monkeypatch):
    (tmp_path / "a.pt").write_bytes(b"archive")

    def seek_before_the_beginning(*args, **options):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(torch, "load", seek_before_the_beginning)
    with pytest.raises(ValueError, match=r"a\.pt holds no statistics of this version, or is damaged"):
        load_statistics(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError):
        load_statistics(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(0, 2), "at least one image, got none"),
        ([], "at least one image, got none"),
        ([(torch.zeros(1, 2), 3)], r"tensors, got tuple; pass \(batch.images for batch in loader\)"),
        ([(None, torch.zeros(1, 2))], "tensors, got tuple"),
        ([()], "tensors, got tuple"),
        ([Batch(*[torch.zeros(1, 2)] * 5)], "tensors, got Batch; pass"),
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
    with pytest.raises(ValueError, match="at_least must be at least 0, got -1"):
        gather_statistics(attach_denoisers(nn.Linear(2, 2), ".*"), torch.zeros(1, 2), at_least=-1)
    moments = Moments(1, *zeros(2))
    with pytest.raises(ValueError, match="only one side has b"):
        merge_statistics({"a": moments}, {"a": moments, "b": moments})
    with pytest.raises(ValueError, match="widths must agree, got 2 and 3"):
        moments.merge(Moments(1, *zeros(3)))


def test_a_layer_that_does_not_run_is_named():
    class Skips(Network):
        def forward(self, x):
            return super().forward(x) if self.training else self.conv(x)

    with pytest.raises(RuntimeError, match=r"did not run: mlp\.0; leave"):
        gather_statistics(attach_denoisers(Skips().double().train(), "mlp"), IMAGES)

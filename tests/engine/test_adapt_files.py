"""Features of any project, adapted through files."""

import json

import numpy as np
import pytest
import torch
from sites import site

from reid.adaptation import NoiseSettings, fit_noise, load_denoiser
from reid.engine.adapt_files import adapt_files
from reid.evaluation import FeatureSet
from reid.evaluation.feature_files import read_features, write_features
from reid.utils import InputError

pytest.importorskip("faiss")
AUTO = NoiseSettings()


def save(path, features, camids, pids, identities=(), paths=None):
    columns = map(torch.as_tensor, (features, pids, camids))
    paths = np.full(len(features), "a.jpg") if paths is None else paths
    write_features(path, FeatureSet(*columns), paths, identities)
    return path


@pytest.fixture
def files(tmp_path):
    """What is fitted on, and a query and a gallery of other people."""
    fitted = save(tmp_path / "site.npz", *site(ids=100))
    features, camids, pids = site(seed=1, ids=30)
    first, texts = camids == 0, tuple(f"car {number}" for number in range(30))
    query = save(
        tmp_path / "query.npz", features[first], camids[first], pids[first], texts, np.arange(30).astype(str)
    )
    gallery = save(tmp_path / "gallery.npz", features[~first], camids[~first], pids[~first], texts)
    return fitted, query, gallery


def test_other_files_are_denoised_by_what_was_fitted_on_one(files, tmp_path):
    fitted, query, gallery = files
    pairs = [(query, tmp_path / "q.npz"), (gallery, tmp_path / "g.npz")]
    found = adapt_files(fitted, tmp_path / "d.npz", AUTO, pairs)
    expected = fit_noise(*site(ids=100), AUTO)
    assert found.choice.setting == expected.setting
    denoiser = load_denoiser(tmp_path / "d.npz")
    np.testing.assert_array_equal(denoiser.weight, expected.denoiser.weight)
    for source, target in pairs:
        before, after = read_features(source), read_features(target)
        by_hand = denoiser.apply(before.table.feats.numpy(), before.table.camids.numpy())
        np.testing.assert_array_equal(after.table.feats.numpy(), by_hand)
        assert torch.equal(after.table.pids, before.table.pids)
        assert torch.equal(after.table.camids, before.table.camids)
        assert after.identities == before.identities
        assert after.paths.tolist() == before.paths.tolist()
    assert (found.num_images, found.num_cameras) == (200, 2)


def test_what_was_done_in_words_and_for_machines(files, tmp_path):
    fitted, query, _ = files
    found = adapt_files(fitted, tmp_path / "d.npz", AUTO, [(query, tmp_path / "q.npz")])
    text = found.as_text()
    assert "chosen without labels: k = " in text
    (marked,) = [line for line in text.splitlines() if "<- chosen" in line]
    assert marked.lstrip("| ").startswith(found.choice.setting.describe())
    assert "k = 2, r = 3, one mean is kept unless another is better by more than a standard error" in text
    assert text.index("ways back: from") < text.index("ways back before")
    assert f"wrote {tmp_path / 'd.npz'}\nwrote {tmp_path / 'q.npz'}" in text
    figures = json.loads(json.dumps(found.as_dict()))
    assert figures["written"] == [str(tmp_path / name) for name in ("d.npz", "q.npz")]
    assert (figures["denoised"], figures["pairs"], len(figures["candidates"])) == (True, "cameras", 12)
    assert figures["chosen"] == vars(found.choice.setting)


def test_where_nothing_helps_files_keep_their_features_and_no_denoiser_is_written(files, tmp_path):
    fitted, query, _ = files
    pairs = [(query, tmp_path / "q.npz")]
    found = adapt_files(fitted, tmp_path / "d.npz", NoiseSettings(noise="off"), pairs)
    assert not (tmp_path / "d.npz").exists()
    assert found.written == [tmp_path / "q.npz"]
    same = read_features(tmp_path / "q.npz").table.feats
    assert torch.equal(same, read_features(query).table.feats)


def test_tracklets_are_numbered_by_the_identities(files, tmp_path):
    settings = NoiseSettings(pairs="tracklets")
    found = adapt_files(files[0], tmp_path / "d.npz", settings)
    assert found.choice.denoiser.num_pairs == 100
    text = found.as_text()
    assert "100 pairs of images of one tracklet, among 200 images of 2 cameras" in text
    assert "taken unjudged: r = 3, one mean; only pairs of cameras tell" in text


def test_images_of_unknown_cameras_are_counted_only_where_they_are_used(tmp_path):
    features, camids, pids = site(ids=100)
    some = save(tmp_path / "some.npz", features, np.where(pids < 5, -1, camids), pids)
    assert adapt_files(some, tmp_path / "a.npz", AUTO).num_images == 190
    found = adapt_files(some, tmp_path / "b.npz", NoiseSettings(pairs="neighbours"))
    assert (found.num_images, found.num_cameras) == (200, 2)


def test_files_without_cameras_take_the_map_with_one_mean(tmp_path):
    features, camids, pids = site(ids=100)
    fitted = save(tmp_path / "fitted.npz", features, camids, pids)
    unknown = save(tmp_path / "unknown.npz", features, np.full_like(camids, -1), pids)
    settings = NoiseSettings(noise="on", means="camera")
    adapt_files(fitted, tmp_path / "d.npz", settings, [(unknown, tmp_path / "u.npz")])
    expected = load_denoiser(tmp_path / "d.npz").without_cameras.apply(features)
    np.testing.assert_array_equal(read_features(tmp_path / "u.npz").table.feats.numpy(), expected)


def test_the_same_bytes_twice(files, tmp_path):
    fitted, query, _ = files
    for run in "ab":
        adapt_files(fitted, tmp_path / f"d{run}.npz", AUTO, [(query, tmp_path / f"q{run}.npz")])
    for name in "dq":
        one, other = ((tmp_path / f"{name}{run}.npz").read_bytes() for run in "ab")
        assert one == other


def refused(message, tmp_path, *args):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message) as caught:
        adapt_files(*args)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_features_of_another_width_are_refused_before_anything_is_written(files, tmp_path):
    fitted, query, _ = files
    narrow = save(tmp_path / "narrow.npz", *site(ids=5, dims=7))
    pairs = [(query, tmp_path / "q.npz"), (narrow, tmp_path / "n.npz")]
    refused(
        r"narrow.npz must have features of 24 numbers as .*site.npz, they have 7; name",
        *(tmp_path, fitted, tmp_path / "d.npz", AUTO, pairs),
    )


def test_a_feature_without_a_direction_is_refused_before_anything_is_written(files, tmp_path):
    fitted, query, _ = files
    features, camids, pids = site(ids=5)
    features[3] = 0
    zero = save(tmp_path / "zero.npz", features, camids, pids)
    pairs = [(query, tmp_path / "q.npz"), (zero, tmp_path / "z.npz")]
    refused(
        r"zero.npz: features must be finite and not zero, row 3 is not",
        *(tmp_path, fitted, tmp_path / "d.npz", AUTO, pairs),
    )


def test_no_file_is_read_and_written_and_none_is_written_twice(files, tmp_path):
    fitted, query, _ = files
    out = tmp_path / "d.npz"
    for target, others in (
        (fitted, []),
        (query, [(query, tmp_path / "q.npz")]),
        (out, [(query, fitted)]),
        (out, [(query, out)]),
        (out, [(query, query)]),
        (out, [(query, out / "q.npz")]),
        (out / "d.npz", [(query, out)]),
        (out, [(query, tmp_path / "q.npz"), (query, tmp_path / "q.npz" / "g.npz")]),
        (out, [(query, tmp_path / "q.npz"), (query, tmp_path / "q.npz")]),
    ):
        refused("file", tmp_path, fitted, target, AUTO, others)
    refused(r"written as .npz, got .*d.pth; name d.npz", tmp_path, fitted, tmp_path / "d.pth", AUTO)


def test_a_file_without_cameras_says_what_to_do(files, tmp_path):
    features, camids, pids = site(ids=5)
    unknown = save(tmp_path / "unknown.npz", features, np.full_like(camids, -1), pids)
    refused("no image has one; give them", tmp_path, unknown, tmp_path / "d.npz", AUTO)

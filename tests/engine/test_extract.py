"""Extraction into a feature file: what it holds, what is skipped, and going on to the same bits."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import draw_people

from reid.engine import parts as parts_module
from reid.engine.extract import extract
from reid.engine.extract_parts import ExtractSettings
from reid.engine.image_list import read_image_list
from reid.evaluation.feature_files import read_features
from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, SideSpec, save_checkpoint
from reid.utils import InputError

CPU = torch.device("cpu")
PREPARE = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SETTINGS = ExtractSettings(batch_size=4, part_size=10, num_workers=0)  # parts of 12 images
SOURCES = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def images(people):
    found = read_image_list("market1501", people, "train")
    return replace(found, records=found.records.select(np.arange(29)))


def new_model(side=None):
    torch.manual_seed(0)
    return ReIDModel(ModelSpec("vit_micro", (32, 32), 4, side=side), PREPARE).eval()


@pytest.fixture(scope="module")
def model():
    return new_model()


def run(model, images, out, **changes):
    return extract(model, PREPARE, images, out, CPU, replace(SETTINGS, **changes))


def by_hand(model, records, flip=False):
    """One image at a time, (N, D)."""
    rows = []
    for row in range(len(records)):
        image = PREPARE(records.path(row))[None]
        feature = model.embed(image)[0]
        if flip:
            feature = (feature + model.embed(torch.flip(image, dims=[3]))[0]) / 2
        rows.append(feature)
    return torch.stack(rows)


@pytest.mark.parametrize("flip", [False, True])
def test_the_file_holds_each_image_s_feature_labels_and_path_in_order(model, images, tmp_path, flip):
    found = run(model, images, tmp_path / "f.npz", flip=flip)
    saved = read_features(tmp_path / "f.npz")
    torch.testing.assert_close(saved.table.feats, by_hand(model, images.records, flip), atol=1e-5, rtol=1e-5)
    assert saved.table.pids.tolist() == images.records.pids.tolist()
    assert saved.table.camids.tolist() == images.records.camids.tolist()
    assert saved.paths.tolist() == images.records.paths.tolist()
    assert (found.num_images, found.width, found.num_new, found.skipped) == (29, model.dim, 29, ())
    assert found.rate == pytest.approx(29 / found.seconds)
    assert (", flip" if flip else ", no flip") in found.as_text()
    assert found.as_dict()["flip"] is flip
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_neither_workers_nor_the_size_of_parts_change_a_bit(model, images, tmp_path):
    for name, changes in (("a", {}), ("b", {"num_workers": 2}), ("c", {"part_size": 4096})):
        run(model, images, tmp_path / f"{name}.npz", **changes)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_cameras_are_given_to_a_model_that_knows_them(images, tmp_path):
    side = SideSpec((0, 1), (), 3.0, "market1501")
    feats = {}
    for dataset in ("market1501", "msmt17"):
        run(new_model(replace(side, dataset=dataset)), images, tmp_path / "f.npz")
        feats[dataset] = read_features(tmp_path / "f.npz").table.feats
    assert not torch.allclose(feats["market1501"], feats["msmt17"])


class Stopped(BaseException):
    """As a kill would stop it."""


def stopped_at(number, *arguments, **options):
    """Run until the middle of writing a part."""
    savez, written = np.savez, []

    def write(file, **arrays):
        written.append(file)
        if len(written) == number + 1:
            file.write(b"half a part")
            raise Stopped
        savez(file, **arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module.np, "savez", write)
        with pytest.raises(Stopped):
            run(*arguments, **options)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("flip", [False, True])
def test_after_an_interruption_it_ends_with_the_file_of_an_uninterrupted_one(
    model, images, tmp_path, number, flip
):
    out, whole = tmp_path / "f.npz", tmp_path / "whole.npz"
    run(model, images, whole, flip=flip)
    stopped_at(number, model, images, out, flip=flip)
    assert not out.exists()
    found = run(model, images, out, flip=flip, resume=True)
    assert out.read_bytes() == whole.read_bytes()
    assert (found.num_images, found.num_new) == (29, 29 - 12 * number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.npz", "whole.npz"]


def test_it_can_be_interrupted_again(model, images, tmp_path):
    out, whole = tmp_path / "f.npz", tmp_path / "whole.npz"
    run(model, images, whole)
    stopped_at(1, model, images, out)
    stopped_at(1, model, images, out, resume=True)
    assert run(model, images, out, resume=True).num_new == 5
    assert out.read_bytes() == whole.read_bytes()


def test_after_a_stop_behind_the_last_part_nothing_is_embedded_again(model, images, tmp_path, monkeypatch):
    out, whole = tmp_path / "f.npz", tmp_path / "whole.npz"
    run(model, images, whole)
    with monkeypatch.context() as patch:
        patch.setattr("reid.engine.extract.write_features", stop)
        with pytest.raises(Stopped):
            run(model, images, out)
    found = run(model, images, out, resume=True)
    assert found.num_new == 0
    assert "0 images now" in found.as_text()
    assert out.read_bytes() == whole.read_bytes()


def stop(*_):
    raise Stopped


def test_a_mix_up_of_extractions_is_refused(model, images, tmp_path):
    out = tmp_path / "f.npz"
    stopped_at(1, model, images, out)
    other = new_model()
    next(other.parameters()).data[0] += 1
    fewer = replace(images, records=images.records.select(np.arange(28)))
    swapped = replace(images, records=replace(images.records, camids=images.records.camids[::-1].copy()))
    for changed, arguments, options in (
        ("weights", (other, images), {}),
        ("list of images", (model, fewer), {}),
        ("list of images", (model, swapped), {}),
        ("flip", (model, images), {"flip": True}),
        ("batch size", (model, images), {"batch_size": 5}),
        ("part size", (model, images), {"part_size": 8}),
    ):
        with pytest.raises(InputError, match=f"with other {changed}; repeat that one"):
            run(*arguments, out, resume=True, **options)
    pooled = new_model()
    pooled.spec = replace(pooled.spec, neck_feat="after")
    moved = replace(images, records=replace(images.records, root=tmp_path))
    prepared = replace(PREPARE, interpolation="bicubic")
    resumed = replace(SETTINGS, resume=True)
    for changed, arguments in (
        ("model", (pooled, PREPARE, images, out, CPU)),
        ("preparation of images", (model, prepared, images, out, CPU)),
        ("folder of images", (model, PREPARE, moved, out, CPU)),
        ("device", (model, PREPARE, images, out, torch.device("cuda"))),
    ):
        with pytest.raises(InputError, match=f"with other {changed}; repeat that one"):
            extract(*arguments, resumed)
    with pytest.raises(InputError, match="go on with --resume, or delete it"):
        run(model, images, out)
    assert run(model, images, out, resume=True).num_images == 29


@pytest.fixture
def damaged(images, tmp_path):
    """A copy of which the images at rows 3, 12 to 23 (a whole part) and 28 cannot be read."""
    lost = [3, *range(12, 24), 28]
    for row in range(len(images.records)):
        path = tmp_path / "images" / images.records.paths[row]
        path.parent.mkdir(parents=True, exist_ok=True)
        content = images.records.path(row).read_bytes()
        path.write_bytes(content[: 100 if row in lost else None])
    return replace(images, records=replace(images.records, root=tmp_path / "images")), lost


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_refused_by_name_and_no_file_is_left(model, damaged, tmp_path, workers):
    broken, _ = damaged
    with pytest.raises(InputError, match=rf"{broken.records.path(3).name} is not") as caught:
        run(model, broken, tmp_path / "f.npz", num_workers=workers)
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()  # though the error, which holds the frames, is still there
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_unreadable_images_are_skipped_and_all_named(model, images, damaged, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("reid"), "propagate", True)
    broken, lost = damaged
    found = run(model, broken, tmp_path / "f.npz", on_corrupt="skip")
    kept = np.setdiff1d(np.arange(29), lost)
    saved = read_features(tmp_path / "f.npz")
    expected = by_hand(model, images.records.select(kept))
    torch.testing.assert_close(saved.table.feats, expected, atol=1e-5, rtol=1e-5)
    assert saved.paths.tolist() == images.records.paths[kept].tolist()
    assert saved.table.pids.tolist() == images.records.pids[kept].tolist()
    assert [path for path, _ in found.skipped] == broken.records.paths[lost].tolist()
    assert all(str(broken.records.root / path) in reason for path, reason in found.skipped)
    assert "14 images cannot be read and are left out" in found.as_text()
    figures = found.as_dict()
    assert (figures["num_skipped"], figures["num_images"]) == (14, 15)
    assert [tuple(image.values()) for image in figures["skipped"]] == list(found.skipped)
    assert all(f"skipped: {reason}" in caplog.text for _, reason in found.skipped)


def test_skipped_images_are_named_again_after_an_interruption(model, damaged, tmp_path):
    broken, _ = damaged
    whole = run(model, broken, tmp_path / "whole.npz", on_corrupt="skip")
    stopped_at(2, model, broken, tmp_path / "f.npz", on_corrupt="skip")
    with pytest.raises(InputError, match=rf"{broken.records.path(3).name} is not"):
        run(model, broken, tmp_path / "f.npz", resume=True)  # now they are refused
    found = run(model, broken, tmp_path / "f.npz", on_corrupt="skip", resume=True)
    assert found.skipped == whole.skipped
    assert (tmp_path / "f.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_a_mended_image_is_gone_on_with(model, images, damaged, tmp_path):
    broken, _ = damaged
    row = 12  # the first of the second part
    for lost in (3, row):
        broken.records.path(lost).write_bytes(images.records.path(lost).read_bytes())
    with pytest.raises(InputError, match=rf"{broken.records.path(13).name} is not"):
        run(model, broken, tmp_path / "f.npz")
    for lost in [*range(13, 24), 28]:
        broken.records.path(lost).write_bytes(images.records.path(lost).read_bytes())
    assert run(model, broken, tmp_path / "f.npz", resume=True).num_new == 17
    run(model, images, tmp_path / "whole.npz")
    assert (tmp_path / "f.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_without_a_readable_image_there_is_no_file(model, damaged, tmp_path):
    broken, lost = damaged
    none = replace(broken, records=broken.records.select(np.array(lost)))
    with pytest.raises(InputError, match=r"no image of .* can be read; the first: an image must be readable"):
        run(model, none, tmp_path / "f.npz", on_corrupt="skip")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_features_that_are_not_finite_are_refused(images, tmp_path):
    broken = new_model()
    next(broken.parameters()).data[:] = torch.nan
    with pytest.raises(InputError, match="features must be finite"):
        run(broken, images, tmp_path / "f.npz")


def test_a_batch_and_a_part_have_an_image():
    for changes in ({"batch_size": 0}, {"part_size": -1}):
        with pytest.raises(InputError, match="need an image"):
            replace(SETTINGS, **changes)
    assert SETTINGS.batches_per_part == 3


KILLED = """
import os, signal, sys, numpy as np
sys.path.insert(0, sys.argv[1])
import test_extract as t
from reid.engine import parts
from reid.models import load_checkpoint
savez, count = np.savez, []
def write(file, **arrays):
    count.append(file)
    if len(count) == 3:
        file.write(b"half"); file.flush(); os.kill(os.getpid(), signal.SIGKILL)
    savez(file, **arrays)
parts.np.savez = write
images = t.read_image_list("market1501", t.Path(sys.argv[2]), "train")
t.run(load_checkpoint(sys.argv[3])[0], images, t.Path(sys.argv[4]), num_workers=2)
"""


@pytest.mark.slow
def test_after_a_kill_9_it_goes_on_to_the_same_bits(people, model, tmp_path):
    save_checkpoint(tmp_path / "w.pth", model, Header(model.spec, PREPARE))
    out = tmp_path / "f.npz"
    words = [str(Path(__file__).parent), str(people), str(tmp_path / "w.pth"), str(out)]
    support = os.pathsep.join(map(str, (SOURCES / "tests" / "support", SOURCES)))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words],
        env=os.environ | {"PYTHONPATH": support, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "f.npz.parts").glob(".part_00002*.npz"))) == 1  # half a part is left behind
    train = read_image_list("market1501", people, "train")
    assert run(model, train, out, resume=True).num_new == len(train.records) - 24
    run(model, train, tmp_path / "whole.npz")
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert not (tmp_path / "f.npz.parts").exists()

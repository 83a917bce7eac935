"""Features on the command line: a file that other tools read, or one line and nothing."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from full_disk import full_disk
from peers import SHARED
from scipy.io import savemat
from scripts import load_script, run_script
from small import draw_people

from reid.data import load_market1501
from reid.engine import extract_parts
from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, load_model, save_checkpoint

HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words, tool="extract"):
        code = run_script(load_script(monkeypatch, f"tools/{tool}.py"), monkeypatch, *words)
        printed = capsys.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    # Workers cost more than so few images; tests of the engine have them.
    monkeypatch.setattr(extract_parts, "num_workers", lambda cfg: 0)
    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn people, and a model with random weights."""
    path = tmp_path_factory.mktemp("site")
    draw_people(path / "data")
    torch.manual_seed(0)
    spec = ModelSpec("vit_micro", (32, 32), 4)
    save_checkpoint(path / "model.pth", ReIDModel(spec), Header(spec, Preprocessing((32, 32), HALF, HALF)))
    return path


def words(folder, images, out, *more):
    options = ["--weights", folder / "model.pth", "--images", images, "--out", out, "--device", "cpu"]
    return [*options, "--batch-size", 5, *more]


def assert_refused(result, *needles):
    assert result.code == 2, result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    for needle in needles:
        assert needle in result.err.splitlines()[-1]


def test_a_folder_gives_a_file_with_the_agreed_columns(run, folder, tmp_path):
    out = tmp_path / "f.npz"
    result = run(*words(folder, folder / "data", out, "--json", tmp_path / "f.json"))
    assert result.code == 0, result.err
    names = sorted(path.relative_to(folder / "data").as_posix() for path in (folder / "data").rglob("*.jpg"))
    with np.load(out, allow_pickle=False) as arrays:
        assert set(arrays) == {"features", "paths", "pids", "camids"}
        assert (arrays["features"].dtype, arrays["features"].ndim) == (np.float32, 2)
        assert arrays["paths"].tolist() == names
        assert set(arrays["pids"]) == set(arrays["camids"]) == {-1}
        model = load_model(folder / "model.pth")
        image = model.preprocess(folder / "data" / names[7])[None]
        np.testing.assert_allclose(arrays["features"][7], model.embed(image)[0], atol=1e-5)
    figures = json.loads((tmp_path / "f.json").read_text())
    assert (figures["num_images"], figures["skipped"], figures["flip"]) == (len(names), [], False)
    assert figures["images_per_second"] > 0
    assert f"{len(names)} images of " in result.out
    assert "images/s" in result.out
    assert f"wrote {out}" in result.out
    assert "features: 100%" in result.err
    assert "images/s" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.json", "f.npz"]


def test_a_data_set_s_query_and_gallery_are_evaluated_from_their_files(run, folder, tmp_path):
    files = []
    for split in ("query", "gallery"):
        files += [f"--{split}", tmp_path / f"{split}.npz"]
        more = ["--root", folder / "data", "--split", split, "--flip"]
        result = run(*words(folder, "market1501", files[-1], *more))
        assert result.code == 0, result.err
        assert f" {split}, " in result.out
        assert result.out.splitlines()[0].endswith(", flip")
    result = run(*files, "--json", tmp_path / "f.json", tool="evaluate")
    assert result.code == 0, result.err
    figures, dataset = (
        json.loads((tmp_path / "f.json").read_text()),
        load_market1501(folder / "data", train=False),
    )
    (trial,) = dataset.trials
    assert figures["num_query"] == len(trial.query)
    assert figures["num_gallery"] + figures["num_junk"] == len(trial.gallery)


def test_corrupt_images_are_refused_or_skipped_and_named(run, folder, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for row, source in enumerate(sorted((folder / "data" / "query").glob("*.jpg"))[:6]):
        (images / f"{row}.jpg").write_bytes(source.read_bytes()[: 200 if row in (2, 5) else None])
    out = tmp_path / "f.npz"
    assert_refused(run(*words(folder, images, out)), f"{images / '2.jpg'} is not: ")
    assert [path.name for path in tmp_path.iterdir()] == ["images"]
    result = run(*words(folder, images, out, "--on-corrupt", "skip", "--json", tmp_path / "f.json"))
    assert result.code == 0, result.err
    assert "2 images cannot be read and are left out" in result.out
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["num_skipped"] == len(figures["skipped"]) == 2
    for row, image in zip((2, 5), figures["skipped"], strict=True):
        assert image["path"] == f"{row}.jpg"
        assert str(images / f"{row}.jpg") in image["reason"]
        assert f"skipped: {image['reason']}" in result.err
    with np.load(out) as arrays:
        assert arrays["paths"].tolist() == ["0.jpg", "1.jpg", "3.jpg", "4.jpg"]


def test_resume_goes_on_where_it_was_and_only_when_asked(run, folder, tmp_path, monkeypatch):
    out, whole = tmp_path / "f.npz", tmp_path / "whole.npz"
    assert run(*words(folder, folder / "data", whole)).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(extract_parts.ExtractSettings, "batches_per_part", 2)
        patch.setattr(extract_parts, "extract_features", stop_after(2))
        assert run(*words(folder, folder / "data", out)).code == 130
        parts = sorted(path.name for path in (tmp_path / "f.npz.parts").iterdir())
        assert parts == ["job.json", "part_00000.npz", "part_00001.npz"]
        patch.undo()
        patch.setattr(extract_parts.ExtractSettings, "batches_per_part", 2)
        assert_refused(run(*words(folder, folder / "data", out)), "go on with --resume, or delete it")
        assert_refused(run(*words(folder, folder / "data", out, "--resume", "--flip")), "with other flip")
        result = run(*words(folder, folder / "data", out, "--resume", "--json", tmp_path / "f.json"))
    assert result.code == 0, result.err
    assert out.read_bytes() == whole.read_bytes()
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["num_images"] - figures["num_new"] == 20
    assert not (tmp_path / "f.npz.parts").exists()


def stop_after(count):
    original, done = extract_parts.extract_features, []

    def extract_features(*arguments, **options):
        done.append(1)
        if len(done) > count:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    return extract_features


@pytest.mark.parametrize(
    ("more", "needle"),
    [
        (["--images", "nowhere"], "nowhere is no folder"),
        (["--images", "none.csv"], "none.csv is not one"),
        (["--images", "market1501", "--split", "query"], "Market-1501 not found"),
        (["--weights", "none.pth"], "none.pth does not exist"),
        (["--batch-size", "0"], "need an image, got 0"),
        (["--device", "tpu"], "device"),
        (["--split", "half"], "half"),
        (["--split", "query"], "a folder has no splits"),
        (["--trial", "1"], "leave the trial out"),
        (["--out", "f.pt"], "name f.npz"),
        (["--out", "/proc/f.npz"], "cannot"),
        (["--on-corrupt", "ignore"], "ignore"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_written(run, folder, tmp_path, monkeypatch, more, needle):
    monkeypatch.chdir(tmp_path)
    assert_refused(run(*words(folder, folder / "data", tmp_path / "f.npz", *more)), needle)
    assert not list(tmp_path.iterdir())


def test_what_is_read_is_not_written_over(run, folder, tmp_path):
    out = tmp_path / "f.npz"
    for more in (["--out", folder / "model.npz"], ["--json", out], ["--json", folder / "model.pth"]):
        if "--out" in more:
            (folder / "model.npz").symlink_to(folder / "model.pth")
        result = run(*words(folder, folder / "data", out, *more))
        assert_refused(result, "is read or written already")
    assert load_model(folder / "model.pth")
    assert not out.exists()


def test_a_full_disk_is_one_line(run, folder, tmp_path):
    with full_disk():
        result = run(*words(folder, folder / "data", tmp_path / "f.npz"))
    assert_refused(result, "File too large")
    assert not (tmp_path / "f.npz").exists()


def test_help_shows_an_example(run):
    result = run("--help")
    assert result.code == 0
    assert "python tools/extract.py --weights" in result.out


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="no real weights and images beside the project")
def test_real_vehicles_through_files_have_the_known_figures(run, tmp_path):
    """OSNet x0.25 of Market-1501: 61.3 mAP and 48.3 Rank-1, the mean over the two directions."""
    weights, found = SHARED / "weights" / "osnet_x0_25_market1501.pth", []
    for trial in ("1", "2"):
        files = []
        for split in ("query", "gallery"):
            files += [f"--{split}", tmp_path / f"{split}{trial}.npz"]
            options = ["--weights", weights, "--images", "vehicles2cam", "--root", SHARED / "data"]
            result = run(*options, "--split", split, "--trial", trial, "--out", files[-1])
            assert result.code == 0, result.err
        assert run(*files, "--json", tmp_path / "f.json", tool="evaluate").code == 0
        found.append(json.loads((tmp_path / "f.json").read_text()))
    assert np.mean([figures["mAP"] for figures in found]) == pytest.approx(0.613, abs=0.001)
    assert np.mean([figures["R1"] for figures in found]) == pytest.approx(0.483, abs=0.001)


def test_lists_that_name_identities_in_words_are_evaluated_by_their_words(run, folder, tmp_path):
    """Each list numbers its words by itself, and 'b' is another number in the two."""
    images = {
        split: sorted((folder / "data" / split).glob("*.jpg")) for split in ("query", "bounding_box_test")
    }
    query, gallery = (dict(zip("abcd", paths, strict=False)) for paths in images.values())
    for name, rows in (("q", {"b": query["b"]}), ("g", gallery)):
        lines = [
            f"{path},{pid},{int(name == 'g')},{'gallery' if name == 'g' else 'query'}"
            for pid, path in rows.items()
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,pid,camid,split", *lines]))
        result = run(*words(folder, f"{name}.csv", tmp_path / f"{name}.npz", "--root", tmp_path))
        assert result.code == 0, result.err
    files = ["--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz", "--json", tmp_path / "f.json"]
    assert run(*files, tool="evaluate").code == 0
    with np.load(tmp_path / "q.npz") as one, np.load(tmp_path / "g.npz") as other:
        assert one["identity_names"].tolist() == ["b"]
        unit = other["features"] / np.linalg.norm(other["features"], axis=1, keepdims=True)
        scores = unit @ one["features"][0]
    rank = 1 + int((scores > scores[1]).sum())
    assert json.loads((tmp_path / "f.json").read_text())["mAP"] == pytest.approx(1 / rank)


def test_both_sides_in_another_projects_file_stand_against_these(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ("--weights", folder / "model.pth", "--images", "market1501", "--root", folder / "data")
    names = {"features": "f", "pids": "label", "camids": "cam"}
    both = {}
    for side in ("query", "gallery"):
        assert run(*common, "--split", side, "--out", f"{side}.npz").code == 0
        both |= {
            f"{side}_{names[key]}": values for key, values in np.load(f"{side}.npz").items() if key in names
        }
    savemat(tmp_path / "other.mat", both)
    words = ("--query", "query.npz", "--gallery", "gallery.npz", "--against-features", "other.mat")
    result = run(*words, tool="evaluate")
    assert result.code == 0, result.err
    assert "these less against: +0.00 mAP" in result.out

"""Feature files on the command line: figures for people and machines, or one line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from full_disk import full_disk
from scipy.io import savemat
from scripts import load_script, run_script


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        code = run_script(load_script(monkeypatch, "tools/evaluate.py"), monkeypatch, *words)
        printed = capsys.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    return call


def columns(count, seed=0, camera=0):
    rng = np.random.default_rng(seed)
    return {
        "features": rng.normal(size=(count, 6)).astype(np.float32),
        "pids": np.arange(count) % 5,
        "camids": np.full(count, camera),
    }


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "q.npz", **columns(5))
    np.savez(tmp_path / "g.npz", **columns(8, 1, 1))
    return ["--query", tmp_path / "q.npz", "--gallery", tmp_path / "g.npz"]


def with_columns(path, count, seed=0, camera=0, **changes):
    found = columns(count, seed, camera) | changes
    np.savez(path, **{name: value for name, value in found.items() if value is not None})
    return path


def assert_refused(result, *needles):
    assert result.code == 2, result.err
    assert result.out == ""
    assert len(result.err.splitlines()) == 1, result.err
    for needle in needles:
        assert needle in result.err


def test_figures_of_a_pair_of_files(run, files, tmp_path):
    result = run(
        *files,
        "--rerank",
        "--k1",
        3,
        "--k2",
        2,
        "--lambda",
        0.5,
        "--max-rank",
        12,
        "--json",
        tmp_path / "f.json",
    )
    assert (result.code, result.err) == (0, "")
    assert "| these " in result.out
    figures = json.loads((tmp_path / "f.json").read_text())
    assert len(figures["cmc"]) == 12
    assert {"mAP", "mINP", "R1", "R5", "R10", "num_query", "num_gallery", "num_evaluated"} <= set(figures)
    assert "re-ranking with k1 3, k2 2, lambda 0.5, 5 queries" in figures["protocol"]
    assert f"protocol: {figures['protocol']}" in result.out
    assert f"{figures['mAP']:.1%}" in result.out
    plain = run(*files, "--metric", "euclidean")
    assert "euclidean metric, no re-ranking" in plain.out


def test_the_faiss_backend_gives_the_same_and_does_not_rerank(run, files, tmp_path):
    found = []
    for backend in ("torch", "faiss"):
        assert run(*files, "--backend", backend, "--json", tmp_path / "f.json").code == 0
        found.append(json.loads((tmp_path / "f.json").read_text()))
    assert found[0] == found[1]
    assert_refused(run(*files, "--backend", "faiss", "--rerank"), "use backend 'torch'")


def test_the_recall_of_an_approximate_index_stands_beside_the_figures(run, tmp_path):
    files = ["--query", with_columns(tmp_path / "q.npz", 20)]
    files += ["--gallery", with_columns(tmp_path / "g.npz", 1700, 1, 1), "--json", tmp_path / "f.json"]
    assert "approximate" not in run(*files).out
    plain = json.loads((tmp_path / "f.json").read_text())
    result = run(*files, "--index", "ivf")
    assert (result.code, result.err) == (0, "")
    figures = json.loads((tmp_path / "f.json").read_text())
    recall = figures.pop("approximate_search")
    assert figures == plain  # no figure comes from it
    assert (recall["index"], recall["k"], recall["num_query"]) == ("ivf", 50, 20)
    assert 0.5 < recall["recall"] <= 1
    assert f"ivf: {recall['recall']:.1%} of the 50 nearest found" in result.out


def test_a_mat_file_gives_the_figures_of_its_two_sides(run, files, tmp_path):
    found = {"query": columns(5), "gallery": columns(8, 1, 1)}
    names = {"features": "f", "pids": "label", "camids": "cam"}
    both = {f"{side}_{names[key]}": value for side, table in found.items() for key, value in table.items()}
    savemat(tmp_path / "both.mat", both)
    assert run("--features", tmp_path / "both.mat", "--json", tmp_path / "mat.json").code == 0
    assert run(*files, "--json", tmp_path / "npz.json").code == 0
    mat, npz = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("mat", "npz"))
    assert mat.pop("protocol").startswith(
        f"{tmp_path / 'both.mat'} (query) against {tmp_path / 'both.mat'} (gallery)"
    )
    assert npz.pop("protocol")
    assert mat == npz


def test_two_models_are_compared(run, files, tmp_path):
    others = [
        *("--against-query", with_columns(tmp_path / "q2.npz", 5, 7)),
        *("--against-gallery", with_columns(tmp_path / "g2.npz", 8, 8, 1)),
    ]
    result = run(*files, *others, "--json", tmp_path / "f.json")
    assert result.code == 0, result.err
    assert "| against " in result.out
    assert "95 % interval" in result.out
    figures = json.loads((tmp_path / "f.json").read_text())
    difference = figures["mAP"] - figures["against"]["mAP"]
    assert figures["mAP_difference"]["difference"] == pytest.approx(difference)
    with_columns(tmp_path / "q2.npz", 5, 7, camids=np.array([0, 0, 3, 0, 0]))
    assert_refused(
        run(*files, *others), "q.npz and ", "q2.npz must have the same cameras, 1 of 5 rows differ"
    )
    assert_refused(run(*files, *others[:2]), "name a file of queries and one of the gallery")


NAN = np.where(np.arange(48).reshape(8, 6) == 20, np.nan, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("changes", "needles"),
    [
        ({"features": NAN}, ["g.npz: 'features': features must be finite, but 1 of 8 rows", "row 3"]),
        ({"features": np.ones((8, 7))}, ["equally wide, got 6 and 7"]),
        ({"features": np.ones(8)}, ["g.npz: 'features' must be a table", "shape (8,)"]),
        (
            {"pids": np.arange(7)},
            ["g.npz: 'pids' must hold one number for each of the 8 feature rows", "(7,)"],
        ),
        ({"camids": np.zeros((8, 2))}, ["'camids' must hold one number", "(8, 2)"]),
        ({"pids": np.linspace(0, 1, 8)}, ["'pids' must be whole numbers"]),
        ({"pids": np.array(list("abcdefgh"), object)}, ["'pids' is refused", "could run code"]),
        ({"pids": None}, ["g.npz must hold pids", "it holds 'features', 'camids'"]),
        ({"feats": np.ones((8, 6))}, ["must hold features once, it holds 'features' and 'feats'"]),
        ({"pids": np.arange(8) + 100}, ["none of 5 queries has one among 8 gallery images"]),
        ({"pids": np.full(8, -1)}, ["none of 5 queries has one among 0 gallery images"]),
        ({"camids": np.zeros(8, int)}, ["from another camera, but none of 5 queries has one"]),
    ],
)
def test_wrong_columns_are_one_line(run, files, tmp_path, changes, needles):
    with_columns(tmp_path / "g.npz", 8, 1, 1, **changes)
    assert_refused(run(*files), *needles)


def test_queries_of_unknown_identity_alone_are_one_line(run, files, tmp_path):
    with_columns(tmp_path / "q.npz", 5, pids=np.full(5, -1))
    assert_refused(run(*files), "none of 5 queries has one")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", b"features"])
def test_wrong_files_are_one_line(run, files, tmp_path, content):
    (tmp_path / "g.npz").write_bytes(content)
    assert_refused(run(*files), "g.npz is no readable feature file")
    (tmp_path / "g.npz").unlink()
    assert_refused(run(*files), "g.npz does not exist")
    (tmp_path / "g.npz").mkdir()
    assert_refused(run(*files), "g.npz is a folder")


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["--max-rank", "5"], "10 to 1000 ranks, got 5"),
        (["--max-rank", "ten"], "--max-rank"),
        (["--k1", "20"], "add --rerank"),
        (["--lambda", "0"], "add --rerank"),
        (["--rerank", "--k1", "0"], "k1 and k2 in 1 to 1000000"),
        (["--rerank", "--lambda", "nan"], "lambda_value in [0, 1]"),
        (["--metric", "manhattan"], "manhattan"),
        (["--features", "both.mat"], "name a file of queries and one of the gallery, or one file of both"),
        (["--json", "/proc/f.json"], "cannot"),
    ],
)
def test_wrong_words_are_one_line(run, files, words, needle):
    assert_refused(run(*files, *words), needle)


def test_no_files_are_one_line(run, tmp_path):
    assert_refused(run(), "no features to evaluate: name --query and --gallery, or --features")
    others = ["--against-query", tmp_path / "q.npz", "--against-gallery", tmp_path / "g.npz"]
    assert_refused(run(*others), "no features to evaluate")


def test_no_file_that_is_read_is_written_over(run, files, tmp_path):
    before = (tmp_path / "g.npz").read_bytes()
    assert_refused(run(*files, "--json", tmp_path / "g.npz"), "g.npz is read or written already")
    assert (tmp_path / "g.npz").read_bytes() == before


def test_a_full_disk_is_one_line(run, files, tmp_path):
    with full_disk(kilobytes=0):
        result = run(*files, "--json", tmp_path / "f.json")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "f.json").exists()


def test_a_small_gallery_and_k1_beyond_it(run, tmp_path):
    query = with_columns(tmp_path / "q.npz", 2)
    gallery = with_columns(tmp_path / "g.npz", 3, 1, 1)
    for words in ([], ["--rerank"], ["--rerank", "--k1", "10000", "--k2", "500"]):
        result = run("--query", query, "--gallery", gallery, *words, "--json", tmp_path / "f.json")
        assert result.code == 0, result.err
        figures = json.loads((tmp_path / "f.json").read_text())
        assert figures["R10"] == figures["cmc"][2] == 1.0


def test_help_shows_an_example(run):
    result = run("--help")
    assert result.code == 0
    assert "python tools/evaluate.py --query" in result.out

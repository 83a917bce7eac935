"""The sweep on the command line: a table, a picture and figures, or one line and nothing."""

import json
from types import SimpleNamespace

import pytest
import torch
from scripts import load_script, run_script
from small import draw_people, small_config, small_words

from reid.denoise import fuse_denoisers, load_statistics, save_statistics, solve_denoisers
from reid.engine import build_comparison
from reid.engine.build import build_run
from reid.engine.evaluate import Evaluator
from reid.models import (
    DenoiseSpec,
    Header,
    ModelSpec,
    Preprocessing,
    ReIDModel,
    load_checkpoint,
    save_checkpoint,
)

LISTS = ["--steps", "1", "2", "--strengths", "0", "1", "--targets", "mlp"]
PREPROCESSING = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("people"))


@pytest.fixture
def weights(tmp_path):
    """Plain weights, the same in every test, in a folder of their own."""
    torch.manual_seed(0)
    spec = ModelSpec("vit_micro", (32, 32), 3)
    save_checkpoint(tmp_path / "run" / "baseline.pth", ReIDModel(spec), Header(spec, PREPROCESSING))
    return tmp_path / "run" / "baseline.pth"


@pytest.fixture
def run(monkeypatch, capsys, people, tmp_path):
    """Pictures take as long as the rest: one test draws them."""

    def call(weights, *words, root=people, draws=False):
        if not draws:
            monkeypatch.setattr(build_comparison, "draw_intensity", lambda *args: None)
        module = load_script(monkeypatch, "tools/sweep.py")
        config = ["--config", "demo.yml", *small_words(root, tmp_path / "out")]
        code = run_script(module, monkeypatch, *config, "--weights", weights, *words)
        printed = capsys.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    return call


@pytest.fixture
def passes(monkeypatch):
    """How often features were extracted, and statistics gathered."""
    found = {"extract": 0, "gather": 0}

    def count(name, call):
        def counted(*args, **options):
            found[name] += 1
            return call(*args, **options)

        return counted

    monkeypatch.setattr(Evaluator, "extract", count("extract", Evaluator.extract))
    monkeypatch.setattr(build_comparison, "gather", count("gather", build_comparison.gather))
    return found


def assert_refused(result, *needles):
    assert result.code == 2, result.err
    lines = [line for line in result.err.splitlines() if " INFO " not in line and " WARNING " not in line]
    assert len(lines) == 1, result.err
    for needle in needles:
        assert needle in lines[0]
    assert result.out == ""


def test_a_sweep_gives_a_table_a_picture_and_figures(run, weights, passes, tmp_path):
    result = run(weights, *LISTS, "--json", tmp_path / "sweep.json", draws=True)
    assert result.code == 0, result.err
    assert passes == {"extract": 4, "gather": 1}
    rows = [line for line in result.out.splitlines() if line.startswith("| ") and "--" not in line]
    assert [row.split("|")[1].strip() for row in rows] == [
        "setting",
        "0 untouched",
        "1 mlp, t depth, 1 step, beta to 0.002, strength 1",
        "2 mlp, t depth, 2 steps, beta to 0.002, strength 1",
        "3 mlp, t depth, 1 step, beta to 0.002, strength 0",
    ]
    for words in ("none lies above the untouched model", "protocol: drawn people"):
        assert words in result.out
    figures = json.loads((tmp_path / "sweep.json").read_text())
    assert len(figures["points"]) == 3
    assert figures["points"][2]["mAP"] == figures["untouched"]["mAP"]
    assert (figures["points"][2]["mAP_gain"], figures["points"][2]["weight_change"]) == (0, 0)
    assert figures["statistics"] == str(tmp_path / "out" / "statistics.pt")
    assert (tmp_path / "out" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"statistics.pt", "sweep.png"}
    # Told once, however many settings there are.
    assert result.err.count("what else MODEL says of the network") == 1


@pytest.mark.slow
def test_the_statistics_of_the_first_sweep_serve_the_next(run, weights, passes):
    first = run(weights, "--steps", "1", "2")
    again = run(weights, "--steps", "1", "2")
    assert (first.code, again.code, passes["gather"]) == (0, 0, 1)

    def measured(result):
        return [
            row.rpartition("|")[0].rpartition("|")[0] for row in result.out.splitlines() if row[:1] == "|"
        ]

    assert measured(again) == measured(first)


@pytest.mark.slow
def test_without_lists_the_usual_settings_are_swept(run, weights, tmp_path):
    result = run(weights, "--json", tmp_path / "sweep.json")
    assert result.code == 0, result.err
    points = json.loads((tmp_path / "sweep.json").read_text())["points"]
    assert 12 <= len(points) <= 16
    assert not any(point["fault"] for point in points)


@pytest.mark.slow
def test_all_combinations(run, weights, tmp_path):
    lists = ["--targets", "mlp", "attn", "--beta-ends", "2e-3", "2e-2", "--t-rules", "depth", "spread"]
    result = run(weights, *lists, "--all-combinations", "--json", tmp_path / "sweep.json")
    assert result.code == 0, result.err
    keys = [point["keys"] for point in json.loads((tmp_path / "sweep.json").read_text())["points"]]
    assert len({json.dumps(key) for key in keys}) == 8


@pytest.mark.slow
def test_a_file_of_statistics_spares_the_training_images(run, weights, passes, people, tmp_path):
    assert run(weights, "--steps", "1").code == 0
    kept = (tmp_path / "out" / "statistics.pt").rename(tmp_path / "kept.pt")
    result = run(weights, "--steps", "1", "2", "--statistics", kept)
    assert result.code == 0, result.err
    assert passes["gather"] == 1
    assert not (tmp_path / "out" / "statistics.pt").exists()
    refused = run(weights, "--targets", "attn", "--statistics", kept)
    assert_refused(refused, "kept.pt must hold statistics of every layer", "attn")


@pytest.mark.slow
def test_of_weights_with_denoisers_the_plain_network_is_taken(run, weights, passes, tmp_path):
    plain, header = load_checkpoint(weights)
    attached = DenoiseSpec().attach(plain)
    denoised = weights.with_name("denoised.pth")
    save_checkpoint(denoised, attached, Header(header.model, PREPROCESSING, DenoiseSpec(), "attached"))
    first, second = run(weights, "--steps", "1"), run(denoised, "--steps", "1")
    assert (first.code, second.code) == (0, 0), second.err
    assert passes["gather"] == 1  # the statistics are of the plain network of both
    save_checkpoint(
        tmp_path / "fused.pth",
        fuse_denoisers(attached),
        Header(header.model, PREPROCESSING, DenoiseSpec(), "fused"),
    )
    refused = run(tmp_path / "fused.pth", "--steps", "1")
    assert_refused(refused, "fused.pth is fused", "cannot be undone", "baseline.pth")


@pytest.mark.parametrize("name", ["out.pth", pytest.param("out.safetensors", marks=pytest.mark.slow)])
def test_build_is_solving_and_fusing_and_reads_no_image(run, weights, passes, tmp_path, name):
    assert run(weights, "--steps", "1").code == 0
    passes.update(extract=0, gather=0)
    words = ["DENOISE.STRENGTH", "0.5", "DENOISE.T_RULE", "20", "DENOISE.STEPS", "2"]
    out = tmp_path / name
    result = run(weights, "--build", out, "--json", tmp_path / "b.json", *words, root=tmp_path / "nowhere")
    assert result.code == 0, result.err
    assert passes == {"extract": 0, "gather": 0}
    assert "mean weight change" in result.out
    spec = DenoiseSpec(steps=2, t_rule="20", strength=0.5)
    plain, before = load_checkpoint(weights)
    statistics = load_statistics(tmp_path / "out" / "statistics.pt")
    expected = fuse_denoisers(solve_denoisers(spec.attach(plain), statistics)).state_dict()
    built, header = load_checkpoint(out)
    assert (header.state, header.denoise, header.model) == ("fused", spec, before.model)
    found = built.state_dict()
    assert found.keys() == plain.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert not all(torch.equal(found[key], value) for key, value in plain.state_dict().items())
    figures = json.loads((tmp_path / "b.json").read_text())
    assert figures["keys"]["DENOISE.STEPS"] == 2
    assert figures["weight_change"] > 0


@pytest.mark.slow
def test_of_a_run_in_closed_form_nothing_is_gathered_and_build_gives_its_bits(run, passes, people, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "built.pth"
    build_run(small_config(people, folder, "DENOISE.CLOSED_FORM", "True", "SOLVER.MAX_EPOCHS", "1")).run()
    passes["gather"] = 0
    assert run(folder / "denoised.pth", "--build", out, root=tmp_path / "nowhere").code == 0
    (built, header), (fused, expected) = load_checkpoint(out), load_checkpoint(folder / "fused.pth")
    assert header == expected
    found = built.state_dict()
    assert all(torch.equal(found[key], value) for key, value in fused.state_dict().items())
    assert run(folder / "baseline.pth", "--targets", "mlp").code == 0
    assert passes["gather"] == 0


@pytest.mark.slow
def test_the_words_of_the_best_build_what_was_measured(run, weights, tmp_path):
    """Those that it prints where one lies above the untouched model are held in test_sweep_result."""
    assert run(weights, "--strengths", "0.5", "1", "--json", tmp_path / "sweep.json").code == 0
    figures = json.loads((tmp_path / "sweep.json").read_text())
    keys = figures["points"][figures["best"] - 1]["keys"]
    words = [str(word) for pair in keys.items() for word in pair]
    assert run(weights, "--build", tmp_path / "best.pth", *words).code == 0
    spec = load_checkpoint(tmp_path / "best.pth")[1].denoise
    assert [spec.targets, spec.steps] == [("mlp",), 1]


def test_help_shows_an_example_and_the_lists(monkeypatch, capsys):
    assert run_script(load_script(monkeypatch, "tools/sweep.py"), monkeypatch, "--help") == 0
    printed = capsys.readouterr().out
    for words in ("python tools/sweep.py", "--t-rules", "--all-combinations", "--build OUT"):
        assert words in printed
    assert "end-of-list" not in printed


def test_build_without_statistics_is_refused(run, weights, tmp_path):
    result = run(weights, "--build", tmp_path / "out.pth")
    assert_refused(result, "statistics of every layer must be in", "name their file")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0", "1"], "steps must be in"),
        (["--steps", "one"], "invalid int value"),
        (["--strengths", "2"], "strength must be in"),
        (["--beta-ends", "1e-9"], "betas must satisfy"),
        (["--t-rules", "deep"], "t_rule must be"),
        (["--targets", "nothing_here"], "no layer to denoise matches"),
        (["--targets", "nothing_here", "nor_here", "--all-combinations"], "no layer to denoise matches"),
        (["--targets", "feature"], "the final feature is never fused; name mlp"),
        (["--targets", "mlp", "feature"], "the final feature is never fused; name mlp"),
        (["--statistics", "nowhere.pt"], "nowhere.pt: no such file; name one, or leave --statistics out"),
        (["--statistics", "."], "no such file; name one, or leave --statistics out to have them gathered"),
        (["--build", "out.pth", "--steps", "1"], "leave the lists out"),
        (["--build", "out.pth", "--all-combinations"], "leave the lists out"),
        (["DENOISE.STRENGTH", "3"], "DENOISE.STRENGTH must be in"),
        (["MODEL.NAME", "resnet10"], "holds vit_micro"),
    ],
)
def test_wrong_input_is_one_line_and_nothing_is_written(run, weights, tmp_path, words, message):
    assert_refused(run(weights, *words), message)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_statistics_of_other_weights_are_neither_used_nor_written_over(run, weights, tmp_path):
    assert run(weights, "--steps", "1").code == 0
    path = tmp_path / "out" / "statistics.pt"
    save_statistics(load_statistics(path), path, of="others")
    before = path.read_bytes()
    assert_refused(run(weights, "--steps", "1"), "other weights", "name another OUTPUT_DIR")
    assert_refused(run(weights, "--steps", "1", "--statistics", path), "other weights")
    assert path.read_bytes() == before


@pytest.mark.parametrize("folder", ["run", pytest.param("out", marks=pytest.mark.slow)])
@pytest.mark.parametrize("option", ["--json", "--build"])
def test_no_result_takes_the_place_of_statistics(run, weights, tmp_path, folder, option):
    """Whether they are there yet or not, and whichever of them the sweep reads."""
    path = tmp_path / folder / "statistics.pt"
    assert_refused(run(weights, option, path), f"{path} is read or written already")
    assert run(weights, "--steps", "1").code == 0
    kept = (tmp_path / "out" / "statistics.pt").read_bytes()
    (tmp_path / "run" / "statistics.pt").write_bytes(kept)
    assert_refused(run(weights, option, path), f"{path} is read or written already")
    assert path.read_bytes() == kept


def test_a_sweep_of_which_every_setting_failed_is_wrong_input(run, weights, tmp_path):
    """8 layers of 200 and of 300 steps need more timesteps than there are."""
    words = ["--steps", "200", "300", "--json", tmp_path / "sweep.json", "DENOISE.STEPS", "200"]
    result = run(weights, *words)
    assert (result.code, result.out) == (2, "")
    (line,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert "none of 2 was; the first, mlp, t depth, 200 steps" in line
    assert "need 1600 timesteps" in line
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"statistics.pt"}
    assert not (tmp_path / "sweep.json").exists()


def test_neither_weights_nor_statistics_are_overwritten(run, weights, tmp_path):
    assert run(weights, "--steps", "1").code == 0
    statistics, before = tmp_path / "out" / "statistics.pt", weights.read_bytes()
    kept = statistics.read_bytes()
    for words in (
        ["--build", weights],
        ["--build", statistics],
        ["--build", statistics, "--statistics", statistics],
        ["--build", tmp_path],
        ["--json", weights],
        ["--build", tmp_path / "out.pth", "--json", tmp_path / "out.pth"],
        ["--json", tmp_path / "out" / "sweep.png"],
    ):
        result = run(weights, *words)
        assert (result.code, "file" in result.err) == (2, True), words
    assert (weights.read_bytes(), statistics.read_bytes()) == (before, kept)
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.slow
def test_several_data_sets_have_a_table_and_a_picture_each(run, weights, passes, people, tmp_path):
    names = ["DATASETS.NAMES", f'["market1501", "{make_list(people)}"]']
    result = run(weights, "--steps", "1", *names, draws=True)
    assert result.code == 0, result.err
    assert passes == {"extract": 4, "gather": 1}
    assert result.out.count("| 0 untouched") == 2
    assert len(list((tmp_path / "out").glob("*/sweep.png"))) == 2


def make_list(people):
    """The same images as a CSV list."""
    listing = people / "list.csv"
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    rows = [
        f"{path.relative_to(people)},{path.name[:4]},{path.name[6]},{split}"
        for split, folder in folders.items()
        for path in sorted((people / folder).glob("[0-9]*.jpg"))
        if not path.name.startswith("0000")
    ]
    listing.write_text("path,pid,camid,split\n" + "\n".join(rows) + "\n")
    return listing.name

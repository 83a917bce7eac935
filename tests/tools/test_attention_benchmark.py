"""The attention benchmark's command line, and that its reference computes what it claims to."""

import pytest
import torch
from scripts import load_script, run_script
from torch.nn import functional as F

from reid.models import ModelSpec, ReIDModel


@pytest.fixture
def benchmark(monkeypatch):
    return load_script(monkeypatch, "benchmarks/attention.py")


def test_help_shows_an_example(benchmark, monkeypatch, capsys):
    assert run_script(benchmark, monkeypatch, "--help") == 0
    assert "python benchmarks/attention.py --name vit_base --batch 64 --bf16" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--batch", "0"], ["--rounds", "many"], ["--name", "resnet50"], ["8"], ["--bf16", "1"]]
)
def test_wrong_words_are_one_line(benchmark, monkeypatch, capsys, words):
    assert run_script(benchmark, monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "attention.py: error: " in err


@pytest.mark.slow
def test_every_flag_has_a_row_with_its_difference(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "ModelSpec", lambda name, size, ids: ModelSpec("vit_micro", size, ids))
    words = ["--batch", "1", "--rounds", "1", "--bf16", "--fp16", "--channels-last"]
    assert not run_script(benchmark, monkeypatch, *words)
    first, *table = capsys.readouterr().out.splitlines()
    assert first.startswith("vit_small, batch 1, 1 rounds; ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert rows[0][1:] == ["ms/image", "x written out", "feature difference"]
    assert [row[0] for row in rows[2:]] == [
        "attention written out",
        "fused, eager float32",
        "fused, bfloat16",
        "fused, float16",
        "fused, channels last",
    ]
    differences = [float(row[3]) for row in rows[2:]]
    assert differences[0] == 0
    assert differences[1] < 1e-5 < differences[3] < differences[2] < 0.05


def test_the_reference_is_the_same_network_with_its_matrix(benchmark, monkeypatch):
    torch.manual_seed(0)
    model = ReIDModel(ModelSpec("vit_micro", (64, 32), 3)).eval()
    reference, images = benchmark.write_out(model), torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(reference.embed(images), model.embed(images), atol=1e-5, rtol=1e-5)

    def fail(*args, **options):
        raise AssertionError("fused attention was called")

    monkeypatch.setattr(F, "scaled_dot_product_attention", fail)
    reference.embed(images)
    with pytest.raises(AssertionError, match="fused attention was called"):
        model.embed(images)

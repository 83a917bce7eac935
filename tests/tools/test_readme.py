"""The examples of the README and of docs/ that need a model of their own, and the table of modes."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_vit import vit_state
from PIL import Image

from reid.config import load_config
from reid.engine.phases import plan_stages
from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, save_checkpoint

ROOT = Path(__file__).parents[2]


def example(word, page="README.md"):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if word in block)


def test_from_a_folder_of_crops_to_a_ranked_list(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    spec = ModelSpec("vit_micro", (32, 32), 3)
    preprocessing = Preprocessing((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    save_checkpoint(Path("runs/demo/fused.pth"), ReIDModel(spec), Header(spec, preprocessing))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 20, 3), np.uint8)
    crops = Path("datasets/synthetic/query")
    crops.mkdir(parents=True)
    for name, image in (("a", pixels[0]), ("b", pixels[1]), ("c", pixels[0])):
        Image.fromarray(image).save(crops / f"{name}.png")
    exec(compile(example("find_images"), "README.md", "exec"), {})  # the file is our own
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"1.00000 {crops}/c.png"
    assert second.endswith(f" {crops}/b.png")
    assert float(second.split()[0]) < 0.9999


@pytest.mark.slow
def test_the_file_of_another_code_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(vit_state(width=384, depth=12, tokens=129, classes=5), "transformer_120.pth")
    names = {}
    exec(compile(example("transformer_120.pth", "docs/backbones.md"), "backbones.md", "exec"), names)
    assert names["model"].embed(torch.zeros(1, 3, 256, 128)).shape == (1, 384)


def test_denoisers_in_any_network(capsys):
    code = example("attach_denoisers").replace("vit_tiny_patch16_224", "test_vit").replace("224", "160")
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == ""


def modes():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    table = text.split("| mode | words |")[1].split("\n\n")[0]
    return [(row.split("|")[1].strip(), row.split("`")[1]) for row in table.splitlines()[2:]]


@pytest.mark.parametrize(("mode", "words"), modes())
def test_a_mode_of_the_table_is_a_configuration(mode, words):
    needed = [] if "MAX_EPOCHS 0" in words else ["MODEL.PRETRAIN_PATH", "W.pth"]
    cfg = load_config(None, [*shlex.split(words), *needed])
    stages = plan_stages(0, cfg.DENOISE.MODE, cfg.DENOISE.MAX_EPOCHS, cfg.DENOISE.PERIOD)
    expected = [] if cfg.DENOISE.MODE == "none" else [cfg.DENOISE.MODE]
    assert [stage.name for stage in stages] == expected
    assert (cfg.DENOISE.TARGETS == ["feature"]) == (mode == "DenoiseRep-")

"""Learning prompts on the command line: a file of text features, or one line and nothing."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from naive_clip_text import as_clip, needs_open_clip, text_tensors
from small import draw_people, small_words
from torch import nn

from reid.models import Header, ModelSpec, Preprocessing, ReIDModel, save_checkpoint
from reid.models.build import build_model
from reid.models.clip_text import TextEncoder
from reid.models.text_features import load_text_features
from reid.utils.cli import run_tool

ROOT = Path(__file__).parents[2]
HALF = (0.5, 0.5, 0.5)


class Colours(nn.Module):
    """In place of a CLIP model: the second feature is the mean colours of an image's upper and lower half."""

    def forward(self, images):
        halves = nn.functional.adaptive_avg_pool2d(images, (2, 1)).flatten(1)  # (B, 6)
        feats = (torch.full_like(halves, torch.nan), halves)
        return SimpleNamespace(branches=[SimpleNamespace(feat=feat) for feat in feats])


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool's ``main`` in this process; what builds and fills an image encoder is replaced."""

    def stub(cfg, num_classes):
        call.built.append(num_classes)
        return Colours()

    def call(*words, build_model=stub):
        monkeypatch.setattr(sys, "argv", ["learn_prompts.py", *map(str, words)])
        spec = importlib.util.spec_from_file_location("learn_prompts_tool", ROOT / "tools/learn_prompts.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.build_model = build_model
        module.start_from = lambda model, tensors, path, ratio: call.filled.append(path)
        capsys.readouterr()
        try:
            code = run_tool(module.main)
        except SystemExit as leave:
            code = leave.code
        printed = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=printed.out, stderr=printed.err)

    call.built, call.filled = [], []
    return call


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A CLIP-ReID checkpoint with prompts of three identities, and a CLIP model's state dict."""
    folder = tmp_path_factory.mktemp("clip")
    tensors = text_tensors(classes=3)
    torch.save(tensors, folder / "clipreid.pth")
    torch.save(as_clip(tensors), folder / "clip.pth")
    return folder


def arguments(people, tmp_path, weights, *more):
    words = small_words(people, tmp_path / "run")
    return ["--config", "demo.yml", "--weights", weights, "--out", tmp_path / "texts.pth", *more, *words]


@needs_open_clip
@pytest.mark.parametrize("name", ["clip.pth", "clipreid.pth"])
def test_prompts_of_every_training_identity_are_learned_and_written(run, people, files, tmp_path, name):
    result = run(*arguments(people, tmp_path, files / name, "--epochs", "2"))
    assert result.returncode == 0, result.stderr
    assert "text features of 8 identities, 6 wide" in result.stdout
    assert "32 images; loss" in result.stdout
    assert run.built == [8]
    assert run.filled == [files / name]
    texts = load_text_features(tmp_path / "texts.pth", 8, 6)
    content = torch.load(tmp_path / "texts.pth", weights_only=True)
    assert content["prompt"] == "A photo of a X X X X person."
    tensors = torch.load(files / name, weights_only=True)
    encoder = TextEncoder.from_tensors(tensors, files / name)
    torch.testing.assert_close(encoder(content["cls_ctx"]), texts)


@needs_open_clip
def test_the_image_encoders_own_weights_are_used_where_they_are_named(run, people, tmp_path):
    """A real model of CLIP's kind, whose images and texts meet in 64 dimensions."""
    size = (32, 32)
    model = ReIDModel(ModelSpec("clip_vit_micro", size, 8), Preprocessing(size, HALF, HALF))
    save_checkpoint(tmp_path / "image.pth", model, Header(model.spec, model.preprocessing))
    torch.save(as_clip(text_tensors(out_dim=64)), tmp_path / "clip.pth")
    words = arguments(people, tmp_path, tmp_path / "clip.pth", "--epochs", "1", "--noun", "vehicle")
    words += ["MODEL.NAME", "clip_vit_micro", "MODEL.PRETRAIN_PATH", tmp_path / "image.pth"]
    result = run(*words, build_model=build_model)
    assert result.returncode == 0, result.stderr
    assert run.filled == []
    assert load_text_features(tmp_path / "texts.pth", 8, 64).any()
    content = torch.load(tmp_path / "texts.pth", weights_only=True)
    assert content["prompt"] == "A photo of a X X X X vehicle."


@needs_open_clip
def test_the_prompts_of_a_checkpoint_are_taken_without_images(run, files, tmp_path):
    result = run(*arguments(tmp_path, tmp_path, files / "clipreid.pth", "--from-checkpoint-prompts"))
    assert result.returncode == 0, result.stderr
    assert run.built == []
    tensors = text_tensors(classes=3)
    expected = TextEncoder.from_tensors(tensors, Path("a"))(tensors["prompt_learner.cls_ctx"])
    torch.testing.assert_close(load_text_features(tmp_path / "texts.pth", 3, 6), expected)


@needs_open_clip
@pytest.mark.parametrize(
    ("name", "more", "needle"),
    [
        ("clip.pth", ["--from-checkpoint-prompts"], "has no learned prompts"),
        ("clip.pth", ["--epochs", "0"], "epochs must be at least 1, got 0"),
        ("none.pth", [], "none.pth does not exist"),
    ],
)
def test_wrong_input_is_one_line_and_no_file(run, people, files, tmp_path, name, more, needle):
    assert_refused(run(*arguments(people, tmp_path, files / name, *more)), needle)
    assert not (tmp_path / "texts.pth").exists()


@needs_open_clip
def test_the_weights_are_not_written_over(run, people, files):
    words = arguments(people, files, files / "clip.pth")
    words[words.index("--out") + 1] = files / "clip.pth"
    assert_refused(run(*words), "the results must go to another file")


def test_without_open_clip_one_line_says_what_to_install(run, people, files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    result = run(*arguments(people, tmp_path, files / "clip.pth"))
    assert_refused(result, 'install it with: pip install "denoisereid[clip]"')
    assert not (tmp_path / "texts.pth").exists()


def assert_refused(result, needle):
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if " INFO " not in line]
    assert len(lines) == 1, result.stderr
    assert needle in lines[0]

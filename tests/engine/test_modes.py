"""Every mode of training on every kind of backbone: what is frozen keeps its bits, what is not moves."""

import copy

import pytest
import torch
from small import draw_people, small_config

from reid.denoise import denoisers_by_layer
from reid.engine.build import build_run
from reid.engine.trainer import Trainer
from reid.models import load_checkpoint

# The README's table: a mode's words, and the phases that its epochs are in.
MODES = {
    "baseline": (("DENOISE.MODE", "none"), ["baseline"]),
    "label_free": (("DENOISE.MODE", "label_free"), ["baseline", "label_free", "label_free"]),
    "alternating": (
        ("DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1"),
        ["baseline", "denoisers", "backbone"],
    ),
    "backbone_first": (
        ("DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1", "DENOISE.FIRST", "backbone"),
        ["baseline", "backbone", "denoisers"],
    ),
    "joint": (("DENOISE.MODE", "joint"), ["baseline", "joint", "joint"]),
    "final_feature": (
        ("DENOISE.MODE", "alternating", "DENOISE.PERIOD", "1", "DENOISE.TARGETS", "feature"),
        ["baseline", "denoisers", "backbone"],
    ),
}
# Weight decay and momentum, which must not reach what is frozen.
STEPPED = ("SOLVER.OPTIMIZER_NAME", "SGD", "SOLVER.WEIGHT_DECAY", "0.1", "SOLVER.WEIGHT_DECAY_BIAS", "0.1")
DENOISERS = {"label_free", "denoisers", "joint"}
BACKBONE = {"baseline", "backbone", "joint"}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


def run_and_watch(cfg, monkeypatch):
    """Train; for each epoch its phase, and the names of the parameters and statistics that changed."""
    epochs, train = [], Trainer._train_epoch

    def watched(self, phase, bar):
        before = copy.deepcopy(self.model.state_dict())
        figures = train(self, phase, bar)
        after = self.model.state_dict()
        epochs.append((phase.name, {key for key in after if not torch.equal(after[key], before[key])}))
        return figures

    monkeypatch.setattr(Trainer, "_train_epoch", watched)
    build_run(cfg).run()
    return epochs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("backbone", "targets"),
    [
        ("vit_micro", "all"),
        pytest.param("resnet10", "conv", marks=pytest.mark.slow),
        pytest.param("osnet_x0_25", "conv", marks=pytest.mark.slow),
        pytest.param("clip_resnet14", "conv", marks=pytest.mark.slow),
        pytest.param("swin_tiny", "mlp", marks=pytest.mark.slow),
    ],
)
def test_a_mode_trains_what_it_says_and_nothing_else(people, tmp_path, monkeypatch, mode, backbone, targets):
    words, phases = MODES[mode]
    named = () if "DENOISE.TARGETS" in words else ("DENOISE.TARGETS", targets)
    cfg = small_config(
        *(
            people,
            tmp_path / "run",
            "MODEL.NAME",
            backbone,
            "SOLVER.MAX_EPOCHS",
            "1",
            "MODEL.DROP_PATH",
            "0.1",
        ),
        *(*STEPPED, *words, *named),
    )
    epochs = run_and_watch(cfg, monkeypatch)
    assert [phase for phase, _ in epochs] == phases
    for phase, changed in epochs:
        denoisers = {key for key in changed if ".denoiser." in key}
        assert bool(denoisers) == (phase in DENOISERS), phase
        assert bool(changed - denoisers) == (phase in BACKBONE), phase
    files = {path.name for path in (tmp_path / "run").glob("*.pth")}
    expected = {"baseline": set(), "final_feature": {"denoised.pth"}}
    assert files == {"baseline.pth"} | expected.get(mode, {"denoised.pth", "fused.pth"})
    if mode == "final_feature":
        model, header = load_checkpoint(tmp_path / "run" / "denoised.pth")
        assert header.state == "attached"
        assert all(name.startswith("feature_denoisers.") for name in denoisers_by_layer(model))


@pytest.mark.slow
def test_merged_sets_are_denoised_without_their_labels(people, tmp_path, monkeypatch):
    draw_people(tmp_path / "other" / "others", seed=5)
    cfg = small_config(people, tmp_path / "start", "DENOISE.MODE", "none")
    build_run(cfg).run()
    listed = tmp_path / "paths.csv"
    images = [
        *people.glob("bounding_box_train/*.jpg"),
        *(tmp_path / "other").rglob("bounding_box_train/*.jpg"),
    ]
    listed.write_text("\n".join(["path", *map(str, images[::2])]))
    more = tmp_path / "more.csv"
    more.write_text("\n".join(["path", *map(str, images[1::2])]))
    words = ("SOLVER.MAX_EPOCHS", "0", "MODEL.PRETRAIN_PATH", str(tmp_path / "start" / "baseline.pth"))
    names = ("DATASETS.NAMES", "['paths.csv', 'more.csv']")
    epochs = run_and_watch(small_config(tmp_path, tmp_path / "run", *words, *names), monkeypatch)
    assert [phase for phase, _ in epochs] == ["label_free"] * 2
    assert all(".denoiser." in key for _, changed in epochs for key in changed)
    header = load_checkpoint(tmp_path / "run" / "denoised.pth")[1]
    assert header.training.num_images == len(images)
    assert header.training.num_ids == 0

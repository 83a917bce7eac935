"""OSNet: torchreid's keys and shapes, the block by its equation, and a real file on real images."""

import ast
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from reid.data import load_vehicles2cam, plain_loader
from reid.data import test_transform as evaluation_transform
from reid.evaluation import evaluate_retrieval, extract_features
from reid.models import ModelSpec, create_backbone
from reid.models.backbones.osnet import OSNETS, AINBlock, OSBlock, OSNet

SHARED = Path(__file__).parents[4] / "shared"
LISTINGS = SHARED / "spec" / "state_dicts"
WEIGHTS = SHARED / "weights" / "osnet_x0_25_market1501.pth"
VEHICLES = SHARED / "data" / "vehicles2cam"
# Millions without the classifier, from torchreid's model zoo.
PARAMETERS = {"osnet_x1_0": 2.2e6, "osnet_x0_75": 1.3e6, "osnet_x0_5": 0.6e6, "osnet_x0_25": 0.2e6}


@pytest.mark.parametrize("name", OSNETS)
def test_every_variant_maps_images_to_512_non_negative_numbers(name):
    model = create_backbone(ModelSpec(name, (64, 32), 0)).eval()
    assert model.num_features == 512
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
        assert model.forward_features(images).shape[2:] == (4, 2)
        features = model(images)
    assert features.shape == (2, 512)
    assert features.min() >= 0 < features.max()
    if name in PARAMETERS:
        count = sum(p.numel() for p in model.parameters())
        assert count == pytest.approx(PARAMETERS[name], rel=0.08)


@pytest.mark.skipif(not LISTINGS.is_dir(), reason="the key listings of peer checkpoints are not here")
@pytest.mark.parametrize("name", ["osnet_x1_0", "osnet_x0_25", "osnet_ain_x1_0"])
def test_keys_and_shapes_are_torchreids(name):
    rows = [
        line.split("\t") for line in (LISTINGS / f"torchreid_{name}_msmt17.txt").read_text().splitlines()[1:]
    ]
    listed = {key: ast.literal_eval(shape) for key, shape, _ in rows if not key.startswith("classifier.")}
    assert {key: tuple(value.shape) for key, value in OSNet(name).state_dict().items()} == listed


def test_instance_norm_is_in_the_stem_and_the_first_stage_of_ibn_only():
    names = {key.rpartition(".")[0] for key in OSNet("osnet_ibn_x1_0").state_dict() if ".IN." in key}
    assert names == {"conv2.0.IN", "conv2.1.IN"}
    assert "conv1.bn.running_mean" not in OSNet("osnet_ibn_x1_0").state_dict()
    assert "conv1.bn.running_mean" in OSNet("osnet_x1_0").state_dict()


def normalised(x, module):
    """A BatchNorm in evaluation mode by its equation."""
    shape = (1, -1, 1, 1)
    scale = module.weight / (module.running_var + module.eps).sqrt()
    return (x - module.running_mean.view(shape)) * scale.view(shape) + module.bias.view(shape)


def light(x, module):
    x = F.conv2d(F.conv2d(x, module.conv1.weight), module.conv2.weight, padding=1, groups=x.shape[1])
    return normalised(x, module.bn).clamp(min=0)


def per_image(x, module):
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (var + module.eps).sqrt() * module.weight.view(1, -1, 1, 1) + module.bias.view(
        1, -1, 1, 1
    )


@pytest.mark.parametrize("instance_norm", [False, True])
@pytest.mark.parametrize("block", [OSBlock, AINBlock])
@torch.no_grad()
def test_a_block_is_its_equation(block, instance_norm):
    torch.manual_seed(0)
    module = block(64, 128, instance_norm).eval()
    for part in module.modules():
        if getattr(part, "running_var", None) is not None:
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
        if getattr(part, "weight", None) is not None and part.weight.ndim == 1:
            part.weight.normal_()
            part.bias.normal_()
    x = torch.randn(2, 64, 6, 5)
    y = normalised(F.conv2d(x, module.conv1.conv.weight), module.conv1.bn).clamp(min=0)
    if block is OSBlock:
        streams = [[module.conv2a], module.conv2b, module.conv2c, module.conv2d]
    else:
        streams = [stream.layers for stream in module.conv2]
    total = 0
    for depth, stream in enumerate(streams, 1):
        assert len(stream) == depth
        z = y
        for layer in stream:
            z = light(z, layer)
        hidden = (z.mean((2, 3)) @ module.gate.fc1.weight[:, :, 0, 0].T + module.gate.fc1.bias).clamp(min=0)
        gate = torch.sigmoid(hidden @ module.gate.fc2.weight[:, :, 0, 0].T + module.gate.fc2.bias)
        total = total + z * gate[:, :, None, None]
    residual = F.conv2d(total, module.conv3.conv.weight)
    shortcut = normalised(F.conv2d(x, module.downsample.conv.weight), module.downsample.bn)
    if block is OSBlock:
        expected = normalised(residual, module.conv3.bn) + shortcut
        expected = per_image(expected, module.IN) if instance_norm else expected
    elif instance_norm:
        expected = per_image(residual, module.IN) + shortcut
    else:
        expected = normalised(residual, module.conv3.bn) + shortcut
    torch.testing.assert_close(module(x), expected.clamp(min=0), atol=1e-4, rtol=1e-4)


class Bare:
    """What extraction asks for, around a backbone alone."""

    def __init__(self, backbone):
        self.backbone, self.embed, self.modules = backbone, backbone, backbone.modules


@pytest.mark.skipif(
    not (WEIGHTS.is_file() and VEHICLES.is_dir()), reason="real weights or images are not here"
)
@pytest.mark.parametrize(
    ("part", "mean_ap", "rank_1"),
    [("test split", 61.3, 48.3), pytest.param("everything", 64.7, 55.4, marks=pytest.mark.slow)],
)
def test_a_real_file_gives_its_known_figures_on_real_images(part, mean_ap, rank_1):
    model = OSNet("osnet_x0_25").eval()
    state = torch.load(WEIGHTS, weights_only=True)
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("classifier.")}, strict=True)
    dataset = load_vehicles2cam(VEHICLES)
    records = dataset.test if part == "test split" else dataset.test.append(dataset.train)
    transform = evaluation_transform((256, 128), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    loader = plain_loader(records, transform, 40, 0)
    features = extract_features(Bare(model), loader, torch.device("cpu"), progress=False)
    cameras = [features.select((features.camids == camera).nonzero()[:, 0].numpy()) for camera in (0, 1)]
    found = [
        evaluate_retrieval(q.feats, g.feats, q.pids, g.pids, q.camids, g.camids, metric="cosine")
        for q, g in (cameras, cameras[::-1])
    ]
    assert 50 * sum(trial.mean_ap for trial in found) == pytest.approx(mean_ap, abs=0.05)
    assert 50 * sum(float(trial.cmc[0]) for trial in found) == pytest.approx(rank_1, abs=0.05)

"""The oracles of the peers' ResNets against cases by hand and torchvision's."""

import peer_resnet
import torch
import torch.nn.functional as F
from peer_parts import smooth_images
from torch import nn
from torch_layers import batch_norm, close
from torchvision.models.resnet import Bottleneck, ResNet

TOY_RESNET = {"blocks": (1, 1, 1, 1), "classes": 3}
IMAGES = smooth_images(2, 64, 32)


def torchvision_resnet(state):
    model = ResNet(Bottleneck, [1, 2, 1, 1]).eval().requires_grad_(False)
    model.fc = nn.Identity()
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    return model


def test_torchreids_resnet_is_torchvisions_and_its_fc_has_last_stride_1():
    state = peer_resnet.torchreid_resnet_state(**TOY_RESNET | {"blocks": (1, 2, 1, 1)})
    model = torchvision_resnet(state)
    close(peer_resnet.torchreid_resnet_feature(state, IMAGES), model(IMAGES))
    state = peer_resnet.torchreid_resnet_state(**TOY_RESNET | {"blocks": (1, 2, 1, 1)}, fc=16)
    model = torchvision_resnet(state)
    model.layer4[0].conv2.stride = model.layer4[0].downsample[0].stride = (1, 1)
    x = F.linear(model(IMAGES), state["fc.0.weight"], state["fc.0.bias"])
    close(peer_resnet.torchreid_resnet_feature(state, IMAGES), batch_norm(state, "fc.1.", x).relu())


def test_the_stems_differ_in_relu_and_pooling():
    x = torch.arange(-8.0, 8.0).reshape(1, 1, 4, 4)  # what the BatchNorm gives
    images = F.interpolate(x, scale_factor=2).expand(-1, 3, -1, -1)
    centre = torch.zeros(1, 3, 7, 7)
    centre[0, 0, 3, 3] = 1
    norm = {"weight": torch.ones(1), "bias": torch.zeros(1), "running_mean": torch.zeros(1)}
    norm["running_var"] = torch.full((1,), 1 - 1e-5)
    state = {"conv1.weight": centre} | {f"bn1.{name}": value for name, value in norm.items()}
    maps = {
        stem: peer_resnet.stem_map(state, "", images, stem)[0, 0]
        for stem in ("transreid", "torchvision", "fastreid")
    }
    close(maps["transreid"], torch.tensor([[-3.0, -1.0], [5.0, 7.0]]))
    close(maps["torchvision"], torch.tensor([[0.0, 0.0], [5.0, 7.0]]))
    close(maps["fastreid"], torch.tensor([[2.0, 3.0], [6.0, 7.0]]))


def test_a_non_local_block_by_hand():
    x = torch.tensor([1.0, 2.0]).reshape(1, 1, 1, 2)
    kernels = {"theta": 2.0, "phi": 3.0, "g": 1.0, "W.0": 0.5}
    state = {f"{name}.weight": torch.full((1, 1, 1, 1), value) for name, value in kernels.items()}
    vectors = {"g.bias": 1.0, "W.0.bias": 1.0, "W.1.weight": 2.0, "W.1.bias": 0.0, "W.1.running_mean": 1.0}
    vectors["W.1.running_var"] = 1 - 1e-5
    state |= {name: torch.full((1,), value) for name, value in vectors.items()}
    # g = (2, 3), theta = (2, 4), phi = (3, 6), so f = ((6, 12), (12, 24)) / 2 and y = f g = (24, 48);
    # the convolution W.0 makes (13, 25) of it and the BatchNorm W.1 (24, 48).
    close(peer_resnet.non_local(state, "", x), torch.tensor([25.0, 50.0]).reshape(1, 1, 1, 2))


def test_non_local_blocks_follow_the_last_blocks_of_their_stage(monkeypatch):
    state = peer_resnet.resnet_state(blocks=(1, 3, 2, 1), width=8, non_local=(0, 2, 1, 0))
    seen = []

    def watch(name):
        layer = getattr(peer_resnet, name)

        def watched(state, prefix, *rest):
            seen.append(prefix)
            return layer(state, prefix, *rest)

        monkeypatch.setattr(peer_resnet, name, watched)

    watch("block")
    watch("non_local")
    peer_resnet.resnet_map(state, IMAGES)
    expected = "layer1.0 layer2.0 layer2.1 NL_2.0 layer2.2 NL_2.1 layer3.0 layer3.1 NL_3.0 layer4.0"
    assert seen == [f"{name}." for name in expected.split()]


def test_ibn_stands_in_the_first_three_stages_only():
    state = peer_resnet.resnet_state(blocks=(1, 1, 1, 1), width=8, ibn=True)
    places = [key for key in state if key.endswith("IN.weight")]
    assert places == [f"layer{stage}.0.bn1.IN.weight" for stage in (1, 2, 3)]


def test_fastreids_heads_say_the_same_in_three_generations():
    first, second, third = (
        peer_resnet.fastreid_resnet_state(**TOY_RESNET, generation=g, gem=True) for g in (1, 2, 3)
    )
    features = [peer_resnet.fastreid_resnet_feature(state, IMAGES) for state in (second, third)]
    assert torch.equal(*features)
    p = first["heads.pool_layer.p"]
    x = peer_resnet.resnet_map(first, IMAGES, prefix="backbone.").clamp(min=1e-6)
    x = x.pow(p).mean((2, 3)).pow(1 / p)
    close(peer_resnet.fastreid_resnet_feature(first, IMAGES, neck_feat="before"), x)
    close(peer_resnet.fastreid_resnet_feature(first, IMAGES), batch_norm(first, "heads.bnneck.", x))


def test_fastreids_reduction_stands_before_its_neck():
    state = peer_resnet.fastreid_resnet_state(**TOY_RESNET, reduction=16)
    x = peer_resnet.resnet_map(state, IMAGES, prefix="backbone.", stem="fastreid").mean((2, 3))
    x = x @ state["heads.bottleneck.0.weight"].flatten(1).T
    close(peer_resnet.fastreid_resnet_feature(state, IMAGES, neck_feat="before"), x)
    close(peer_resnet.fastreid_resnet_feature(state, IMAGES), batch_norm(state, "heads.bottleneck.1.", x))


def test_transreid_ssls_resnet_takes_its_feature_before_the_bottleneck():
    state = peer_resnet.transreid_resnet_state(**TOY_RESNET, ssl=True)
    x = peer_resnet.resnet_map(state, IMAGES, prefix="base.").mean((2, 3))
    close(peer_resnet.transreid_resnet_feature(state, IMAGES, stem="torchvision"), x)
    after = peer_resnet.transreid_resnet_feature(state, IMAGES, stem="torchvision", neck_feat="after")
    close(after, batch_norm(state, "bottleneck.", x))


def test_transreids_own_resnet_has_its_own_stem():
    state = peer_resnet.transreid_resnet_state(**TOY_RESNET)
    x = peer_resnet.resnet_map(state, IMAGES, prefix="base.", stem="transreid").mean((2, 3))
    close(peer_resnet.transreid_resnet_feature(state, IMAGES), x)

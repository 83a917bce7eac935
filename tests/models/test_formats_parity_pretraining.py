"""Imported pre-trainings, ImageNet's and CLIP's, give the features of their own networks."""

import peer_clip
import pytest
import timm
import torch
from parity import PERSON, Case, check, resized, torchvision_resnet
from peer_clip import clip_rn50_state, clip_vit_feature, clip_vit_state
from peer_parts import Draw
from peer_resnet import resnet_map, resnet_state
from peer_vit import trunk_state, vit_feature
from peers import prefixed
from torch import nn

TRUNK = {"width": 384, "depth": 12, "mlp_ratio": 4, "qkv_bias": True}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["timm", "distilled", "linear", "ics"])
def test_imagenets_transformers_are_resized_by_the_fields_rule(kind):
    file = trunk_state(Draw(0), "", **TRUNK, tokens=193 if kind == "ics" else 197, ics=kind == "ics")
    own = (24, 8) if kind == "ics" else (14, 14)
    plain = file | {"pos_embed": resized(file["pos_embed"], own, (16, 8))}
    if kind != "ics":
        file |= {"head.weight": torch.ones(1000, 384), "head.bias": torch.ones(1000)}
    if kind == "distilled":
        token = torch.full((1, 1, 384), 9.0)
        positions = torch.cat([file["pos_embed"][:, :1], token, file["pos_embed"][:, 1:]], dim=1)
        file |= {"dist_token": token, "pos_embed": positions, "head_dist.weight": torch.ones(1000, 384)}
    if kind == "linear":
        file["patch_embed.proj.weight"] = file["patch_embed.proj.weight"].flatten(1)
    case = Case(
        lambda: file,
        lambda _, images: vit_feature(plain, images, prefix=""),
        "vit_small",
        options={"image_size": PERSON},
    )
    _, header, report = check(case)
    assert report.interpolated == ["pos_embed"]
    assert header.preprocessing.mean == ((0.485, 0.456, 0.406) if kind == "distilled" else (0.5, 0.5, 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("style", ["timm", "authors"])
@pytest.mark.parametrize("name", ["swin_tiny", "swinv2_tiny"])
def test_imagenets_swin_transformers_are_brought_to_their_windows_by_timms_rule(name, style):
    module = getattr(
        timm.models, name.replace("_tiny", "_transformer").replace("v2_transformer", "_transformer_v2")
    )
    full = {"swin_tiny": "swin_tiny_patch4_window7_224", "swinv2_tiny": "swinv2_tiny_window8_256"}[name]
    torch.manual_seed(0)
    file = timm.create_model(full).state_dict()
    for key, value in file.items():
        if "bias" in key or "norm" in key:
            value += 0.1 * torch.randn(value.shape)
    peer = timm.create_model(full, img_size=PERSON, num_classes=0).eval()
    peer.load_state_dict(
        {k: v for k, v in module.checkpoint_filter_fn(file, peer).items() if not k.startswith("head.")}
    )
    if style == "authors":  # reductions at the end of a stage, buffers, a head without fc
        for i in (1, 2, 3):
            for part in ("norm.weight", "norm.bias", "reduction.weight"):
                file[f"layers.{i - 1}.moved.{part}"] = file.pop(f"layers.{i}.downsample.{part}")
        file = {
            key.replace(".moved.", ".downsample.").replace("head.fc.", "head."): v for key, v in file.items()
        }
        file |= {f"layers.0.blocks.{i}.attn.relative_position_index": torch.ones(4, 4) for i in (0, 1)}
        file |= {"layers.0.blocks.1.attn_mask": torch.ones(2, 4, 4)}
    case = Case(lambda: file, lambda _, images: peer(images), name, options={"image_size": PERSON})
    _, _, report = check(case)
    assert len(report.dropped) == (5 if style == "authors" else 2)
    # The last stage's windows are 7x4 here, and SwinV2's biases are a function of the place.
    tables = [f"layers.3.blocks.{i}.attn.relative_position_bias_table" for i in (0, 1)]
    assert report.interpolated == (tables if name == "swin_tiny" else [])
    assert len(report.matched) + len(report.interpolated) == len(peer.state_dict())


@pytest.mark.parametrize(
    "name", ["resnet18", *(pytest.param(n, marks=pytest.mark.slow) for n in ("resnet34", "resnet101"))]
)
def test_torchvisions_resnets_give_their_pooled_map(name):
    peer = torchvision_resnet(name)
    body = nn.Sequential(*list(peer.children())[:-1], nn.Flatten())
    options = {"image_size": (64, 32)}
    check(Case(peer.state_dict, lambda _, images: body(images), name, (64, 32), options))


@pytest.mark.slow
def test_ibn_nets_own_weights_give_their_pooled_map():
    state = resnet_state(ibn=True) | {"fc.weight": torch.ones(1000, 2048), "fc.bias": torch.ones(1000)}
    feature = lambda state, images: resnet_map(state, images, last_stride=2).mean((2, 3))  # noqa: E731
    check(Case(lambda: state, feature, "resnet50_ibn", options={"image_size": PERSON}))


def openai(state):
    """CLIP-ReID's image encoder in OpenAI's archive, in half precision, with a text side."""
    own = {k.removeprefix("image_encoder."): v for k, v in state.items() if k.startswith("image_encoder.")}
    text = {"positional_embedding": torch.ones(77, 512), "logit_scale": torch.tensor(1.0)}
    text |= {"input_resolution": torch.tensor(224), "transformer.resblocks.0.ln_1.weight": torch.ones(512)}
    state = prefixed(own, "visual.") | text
    return {key: value.half() if value.is_floating_point() else value for key, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("network", ["vit", "resnet"])
def test_openais_archives_give_both_features_at_their_own_size(network):
    is_vit = network == "vit"
    build = clip_vit_state if is_vit else clip_rn50_state
    file = openai(build(classes=1, tokens=197 if is_vit else 50, text=False))

    def feature(state, images):
        single = {key.replace("visual.", "image_encoder."): value.float() for key, value in state.items()}
        if is_vit:
            return clip_vit_feature(single, images)
        x = peer_clip.stem_map(single, "image_encoder.", images)
        for stage, count in enumerate((3, 4, 6, 3), start=1):
            for i in range(count):
                stride = 2 if stage > 1 and i == 0 else 1
                x = peer_clip.bottleneck(single, f"image_encoder.layer{stage}.{i}.", x, stride)
        pooled = peer_clip.attention_pool(single, "image_encoder.attnpool.", x, 32)
        return torch.cat([x.mean((2, 3)), pooled], dim=1)

    name = "clip_vit_base" if is_vit else "clip_resnet50"
    _, header, report = check(Case(lambda: file, feature, name, (224, 224)))
    assert header.preprocessing.std == (0.26862954, 0.26130258, 0.27577711)
    assert report.interpolated == []

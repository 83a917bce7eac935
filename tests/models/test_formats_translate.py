"""Foreign keys and tensors in our words, by hand."""

import pytest
import torch
from peer_clip import clip_rn50_state, clip_vit_state
from peer_resnet import fastreid_resnet_state
from peer_vit import vit_state
from peers import PATH, denoised, prefixed, shapes_of

from reid.models.formats import detect
from reid.models.formats.translate import translate
from reid.utils import InputError

TOY_VIT = {"width": 64, "depth": 2, "tokens": 129, "classes": 3}
TOY_CLIP = {"width": 64, "embed": 16, "classes": 3, "tokens": 129, "text_width": 64, "text_depth": 1}


def translated(state, family=None):
    file = translate(state, detect(shapes_of(state), family), PATH)
    olds = [old for keys in file.origin.values() for old in keys]
    assert sorted([*olds, *file.dropped, *file.unexpected]) == sorted(state)
    assert set(file.origin) == set(file.state)
    return file


TRANSREID = {
    "base.cls_token": "backbone.cls_token",
    "base.blocks.0.attn.qkv.weight": "backbone.blocks.0.attn.qkv.weight",
    "b1.0.mlp.fc1.bias": "backbone.global_branch.0.mlp.fc1.bias",
    "b2.1.weight": "backbone.local_branch.1.weight",
    "bottleneck.running_var": "neck.running_var",
    "bottleneck_1.weight": "part_necks.0.weight",
    "bottleneck_4.bias": "part_necks.3.bias",
    "classifier.weight": "classifier.weight",
    "classifier_2.weight": "part_classifiers.1.weight",
    "base.sie_embed": "backbone.side.embed",
}


def test_transreids_jigsaw_and_side_information_are_renamed_and_its_unread_block_is_left():
    state = vit_state(**TOY_VIT, jigsaw=True, sie_rows=6)
    file = translated(state)
    assert {file.origin[new][0]: new for new in TRANSREID.values()} == TRANSREID
    assert torch.equal(file.state["backbone.side.embed"], state["base.sie_embed"][:, 0])
    unread = {key for key in state if key.startswith(("base.blocks.1.", "base.norm.", "base.fc."))}
    assert set(file.dropped) == unread


def test_a_reduction_stands_before_the_neck():
    file = translated(vit_state(**TOY_VIT, fcneck=32))
    assert file.origin["reduction.weight"] == ("fcneck.weight",)
    state = fastreid_resnet_state(classes=3, blocks=(1, 1, 1, 1), width=8, reduction=32)
    file = translated(state)
    assert torch.equal(file.state["reduction.weight"], state["heads.bottleneck.0.weight"][:, :, 0, 0])
    assert file.origin["neck.weight"] == ("heads.bottleneck.1.weight",)


def test_what_denoisereps_authors_leave_beside_a_layer_is_dropped():
    plain = vit_state(**TOY_VIT)
    file = translated(denoised(plain))
    assert set(file.state) == set(translated(plain).state)
    assert len(file.dropped) == 2 * TOY_VIT["depth"] * 7 + 2


def test_what_a_classifier_with_a_margin_counts_is_dropped():
    state = fastreid_resnet_state(classes=3, blocks=(1, 1, 1, 1), width=8, generation=2)
    assert translated(state | {"heads.classifier.t": torch.zeros(1)}).dropped == [
        "pixel_mean",
        "pixel_std",
        "heads.classifier.t",
    ]


def test_an_am_softmax_classifier_is_dropped():
    state = vit_state(**TOY_VIT)
    state["classifier.W"] = state.pop("classifier.weight").T
    assert "classifier.W" in translated(state).dropped


CLIP_VIT = {
    "image_encoder.proj": "backbone.projection.weight",
    "image_encoder.conv1.weight": "backbone.patch_embed.proj.weight",
    "image_encoder.ln_pre.bias": "backbone.norm_pre.bias",
    "image_encoder.ln_post.weight": "backbone.norm.weight",
    "image_encoder.transformer.resblocks.1.attn.in_proj_weight": "backbone.blocks.1.attn.qkv.weight",
    "image_encoder.transformer.resblocks.1.attn.in_proj_bias": "backbone.blocks.1.attn.qkv.bias",
    "image_encoder.transformer.resblocks.0.attn.out_proj.weight": "backbone.blocks.0.attn.proj.weight",
    "image_encoder.transformer.resblocks.0.ln_2.weight": "backbone.blocks.0.norm2.weight",
    "image_encoder.transformer.resblocks.0.mlp.c_fc.weight": "backbone.blocks.0.mlp.fc1.weight",
    "image_encoder.transformer.resblocks.0.mlp.c_proj.bias": "backbone.blocks.0.mlp.fc2.bias",
    "cv_embed": "backbone.side.embed",
    "bottleneck_proj.weight": "part_necks.0.weight",
    "classifier_proj.weight": "part_classifiers.0.weight",
}


def test_clip_reids_transformer_is_renamed_and_its_text_side_dropped():
    state = clip_vit_state(**TOY_CLIP, depth=2, cv_rows=6)
    file = translated(state)
    assert {file.origin[new][0]: new for new in CLIP_VIT.values()} == CLIP_VIT
    assert torch.equal(file.state["backbone.projection.weight"], state["image_encoder.proj"].T)
    assert file.state["backbone.cls_token"].shape == (1, 1, 64)
    assert file.state["backbone.pos_embed"].shape == (1, 129, 64)
    assert set(file.dropped) == {k for k in state if k.startswith(("prompt_learner.", "text_encoder."))}


CLIP_RESNET = {
    "image_encoder.conv2.weight": "backbone.conv1.3.weight",
    "image_encoder.bn1.weight": "backbone.conv1.1.weight",
    "image_encoder.bn3.running_mean": "backbone.bn1.running_mean",
    "image_encoder.layer1.0.bn3.weight": "backbone.layer1.0.bn3.weight",
    "image_encoder.layer1.0.downsample.0.weight": "backbone.layer1.0.downsample.1.weight",
    "image_encoder.layer1.0.downsample.1.bias": "backbone.layer1.0.downsample.2.bias",
    "image_encoder.attnpool.positional_embedding": "backbone.attnpool.pos_embed",
    "image_encoder.attnpool.c_proj.weight": "backbone.attnpool.proj.weight",
}


def clip_resnet():
    state = clip_rn50_state(
        **TOY_CLIP | {"width": 8, "classes": 3}, blocks=(1, 1, 1, 1), cv_rows=6, text=False
    )
    return state


def test_clip_reids_resnet_is_renamed_and_query_key_and_value_are_joined():
    state = clip_resnet()
    file = translated(state)
    assert {file.origin[new][0]: new for new in CLIP_RESNET.values()} == CLIP_RESNET
    for kind in ("weight", "bias"):
        parts = [state[f"image_encoder.attnpool.{letter}_proj.{kind}"] for letter in "qkv"]
        assert torch.equal(file.state[f"backbone.attnpool.qkv.{kind}"], torch.cat(parts))
        assert file.origin[f"backbone.attnpool.qkv.{kind}"] == tuple(
            f"image_encoder.attnpool.{letter}_proj.{kind}" for letter in "qkv"
        )
    assert file.dropped == ["cv_embed"]  # its own code never reads it


def test_parts_of_an_attention_pooling_that_do_not_belong_together_stay_apart():
    state = clip_resnet() | {"image_encoder.attnpool.k_proj.weight": torch.ones(3)}
    assert "backbone.attnpool.qkv.weight" not in translated(state).state


def test_the_blocks_before_a_non_local_block_move_into_its_place():
    # ResNet-50's places: the last 2 of 4 blocks of stage 2, the last 3 of 6 of stage 3.
    state = fastreid_resnet_state(classes=3, width=8, non_local=True)
    file = translated(state)
    names = {new: old for new, (old, *_) in file.origin.items()}
    assert names["backbone.layer2.1.conv1.weight"] == "backbone.layer2.1.conv1.weight"
    assert names["backbone.layer2.2.0.conv1.weight"] == "backbone.layer2.2.conv1.weight"
    assert names["backbone.layer2.2.1.g.weight"] == "backbone.NL_2.0.g.weight"
    assert names["backbone.layer3.5.0.bn3.bias"] == "backbone.layer3.5.bn3.bias"
    assert names["backbone.layer3.5.1.W.1.bias"] == "backbone.NL_3.2.W.1.bias"


def test_the_legacy_transformers_queries_hold_its_scale_of_attention():
    state = vit_state(**TOY_VIT | {"depth": 8, "width": 96}, mlp_ratio=3, qkv_bias=False)
    qkv = "blocks.3.attn.qkv.weight"
    weight, new = state[f"base.{qkv}"], translated(state).state[f"backbone.{qkv}"]
    torch.testing.assert_close(new[:96], weight[:96] * (96 / 768) ** 0.5)
    assert torch.equal(new[96:], weight[96:])
    # Our own file has it already.
    ours = {key.replace("base.", "backbone."): value for key, value in state.items() if ".fc." not in key}
    ours["neck.weight"] = torch.ones(96)
    assert torch.equal(translated(ours, "ours").state[f"backbone.{qkv}"], weight)


def test_a_patch_embedding_over_pixels_becomes_a_convolution():
    state = vit_state(**TOY_VIT)
    weight = state["base.patch_embed.proj.weight"]
    flat = translated(state | {"base.patch_embed.proj.weight": weight.flatten(1)})
    assert torch.equal(flat.state["backbone.patch_embed.proj.weight"], weight)
    odd = translated(state | {"base.patch_embed.proj.weight": torch.ones(64, 100)})
    assert odd.state["backbone.patch_embed.proj.weight"].shape == (64, 100)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_becomes_single_and_nothing_else_changes(dtype):
    state = {key: value.to(dtype) for key, value in vit_state(**TOY_VIT).items()}
    found = translated(state).state["backbone.norm.weight"]
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(found, state["base.norm.weight"].to(found.dtype))


def swin(early):
    state = {f"layers.{i}.blocks.{n}.attn.qkv.weight": torch.ones(2, 2) for i in range(4) for n in (0, 1)}
    first = 0 if early else 1
    state |= {
        f"layers.{i + first}.downsample.reduction.weight": torch.full((2, 2), float(i)) for i in (0, 1, 2)
    }
    buffers = {"layers.0.blocks.0.attn.relative_position_index": torch.ones(4, 4)}
    buffers |= {"layers.0.blocks.1.attn_mask": torch.ones(4, 4), "head.weight": torch.ones(1000, 2)}
    return state | {"norm.weight": torch.ones(768)} | buffers


@pytest.mark.parametrize("early", [True, False])
def test_a_swin_transformers_reductions_are_counted_to_the_stage_behind_them(early):
    file = translated(swin(early))
    values = [file.state[f"backbone.layers.{i}.downsample.reduction.weight"][0, 0].item() for i in (1, 2, 3)]
    assert values == [0, 1, 2]
    assert "backbone.layers.0.downsample.reduction.weight" not in file.state
    assert len(file.dropped) == 3


def test_two_keys_that_mean_the_same_are_refused_by_name():
    # fast-reid's ReductionHead of 2020: a norm and a LeakyReLU between its convolution and its neck.
    state = fastreid_resnet_state(classes=3, blocks=(1, 1, 1, 1), width=8, generation=2, reduction=32)
    state |= prefixed({"weight": torch.ones(32)}, "heads.bnneck.")
    with pytest.raises(
        InputError, match=r"peer\.pth has both heads\.bottleneck\.1\.weight and heads\.bnneck\.weight"
    ):
        translated(state)

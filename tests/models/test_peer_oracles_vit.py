"""The oracles of TransReID's vision transformers against cases by hand and torch's own layers."""

import peer_vit
import pytest
import torch
import torch.nn.functional as F
from peer_parts import Draw, smooth_images
from torch import nn
from torch_layers import batch_norm, close, encoder_layer, layer_norm, with_parameters, without_branches

TOY_VIT = {"width": 64, "depth": 2, "tokens": 9, "classes": 3}  # for 64x32 images
IMAGES = smooth_images(2, 64, 32)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(9, [2, 6, 3, 7, 4, 8, 5, 1]), (8, [2, 6, 3, 7, 4, 1, 5, 7])],
    ids=["even", "odd"],
)
def test_shuffling_moves_the_patches_on_and_deals_them_out(tokens, expected):
    x = torch.arange(tokens)[None, :, None]
    assert peer_vit.shuffled(x, shift=2, groups=2)[0, :, 0].tolist() == expected


def test_a_row_of_side_information_is_camera_times_views_plus_view():
    cams, views = torch.tensor([0, 2]), torch.tensor([1, 3])
    assert peer_vit.side_rows(cams, views, num_views=4).tolist() == [1, 11]
    assert peer_vit.side_rows(cams).tolist() == [0, 2]
    assert peer_vit.side_rows(viewids=views).tolist() == [1, 3]


def test_a_vit_block_is_torchs_pre_norm_layer():
    state = peer_vit.vit_state(**TOY_VIT | {"width": 128})
    names = {"self_attn.out_proj": "attn.proj", "linear1": "mlp.fc1", "linear2": "mlp.fc2"}
    names = with_parameters(names | {"norm1": "norm1", "norm2": "norm2"})
    names |= {f"self_attn.in_proj_{p}": f"attn.qkv.{p}" for p in ("weight", "bias")}
    layer = encoder_layer(state, "base.blocks.0.", names, 128, F.gelu, 1e-6)
    x = Draw(1).normal(2, 5, 128)
    close(peer_vit.block(state, "base.blocks.0.", x, heads=2, scale=None), layer(x))


def test_side_information_reaches_every_token_of_transreid_times_its_coefficient():
    state = peer_vit.vit_state(**TOY_VIT, sie_rows=4)
    one, other = (
        peer_vit.first_tokens(state, "base.", IMAGES, 16, rows, 3.0) for rows in (torch.tensor([2, 0]), None)
    )
    added = 3.0 * state["base.sie_embed"][[2, 0]]
    close(one - other, added.expand(-1, 9, -1))
    assert torch.equal(other[:, 0], (state["base.cls_token"] + state["base.pos_embed"])[:, 0].expand(2, -1))


def test_patches_come_row_by_row_and_overlap_with_a_smaller_stride():
    state = peer_vit.vit_state(**TOY_VIT)
    tokens = peer_vit.patch_tokens(state, "base.patch_embed.", IMAGES, stride=12)
    assert tokens.shape == (2, 5 * 2, 64)
    weight, bias = (state[f"base.patch_embed.proj.{p}"] for p in ("weight", "bias"))
    third = (IMAGES[:, None, :, 12:28, 0:16] * weight).sum((2, 3, 4)) + bias
    close(tokens[:, 2], third)


def test_without_its_branches_the_vit_is_the_norm_of_its_class_token_with_gem_of_its_patches():
    state = without_branches(peer_vit.vit_state(**TOY_VIT, fcneck=32), "attn.proj", "mlp.fc2")
    x = layer_norm(state, "base.norm.", peer_vit.first_tokens(state, "base.", IMAGES, 16, None, 0), 1e-6)
    gem = x[:, 1:].clamp(min=1e-6).pow(3).mean(1).pow(1 / 3)
    expected = (x[:, 0] + gem) @ state["fcneck.weight"].T
    close(peer_vit.vit_feature(state, IMAGES, gem=True), expected)
    necked = batch_norm(state, "bottleneck.", expected)
    close(peer_vit.vit_feature(state, IMAGES, gem=True, neck_feat="after"), necked)


class IBN(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.IN, self.BN = nn.InstanceNorm2d(dim // 2, affine=True), nn.BatchNorm2d(dim // 2)

    def forward(self, x):
        first, second = x.chunk(2, dim=1)
        return torch.cat([self.IN(first), self.BN(second)], dim=1)


def test_the_ics_stem_halves_the_image_and_takes_patches_of_eight():
    state = peer_vit.vit_state(**TOY_VIT, ics=True)
    prefix = "base.patch_embed."
    convs = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        *(nn.Conv2d(64, 64, 3, 1, 1, bias=False) for _ in range(2)),
    ]
    norms = [IBN(64), IBN(64), nn.BatchNorm2d(64)]
    stem = nn.Sequential(*(layer for pair in zip(convs, norms, strict=True) for layer in (*pair, nn.ReLU())))
    stem.load_state_dict({k: state[f"{prefix}conv.{k}"] for k in stem.state_dict()})
    x = stem.eval().requires_grad_(False)(IMAGES)
    x = F.conv2d(x, state[f"{prefix}proj.weight"], state[f"{prefix}proj.bias"], stride=8)
    assert x.shape == (2, 64, 4, 2)
    close(peer_vit.patch_tokens(state, prefix, IMAGES, 16), x.flatten(2).mT)


def test_a_jigsaw_whose_parts_see_only_the_class_token_repeats_it_at_a_quarter():
    state = without_branches(peer_vit.vit_state(**TOY_VIT, jigsaw=True), "attn.proj", "mlp.fc2")
    x = peer_vit.first_tokens(state, "base.", IMAGES, 16, None, 0)[:, 0]
    part = layer_norm(state, "b2.1.", x, 1e-6) / 4
    expected = torch.cat([layer_norm(state, "b1.1.", x, 1e-6), part, part, part, part], dim=1)
    close(peer_vit.vit_feature(state, IMAGES), expected)
    after = peer_vit.vit_feature(state, IMAGES, neck_feat="after")
    last = batch_norm(state, "bottleneck_4.", 4 * part)
    close(after[:, -64:], last / 4)


def test_a_jigsaw_part_is_the_local_branch_on_its_quarter_of_the_shuffled_patches():
    state = peer_vit.vit_state(**TOY_VIT, jigsaw=True)
    x = peer_vit.first_tokens(state, "base.", IMAGES, 16, None, 0)
    x = peer_vit.block(state, "base.blocks.0.", x, 1, None)
    order = [0, 3, 7]  # shift 3 and groups 2 deal out 3 7 | 4 8 | 5 1 | 6 2
    local = layer_norm(state, "b2.1.", peer_vit.block(state, "b2.0.", x[:, order], 1, None), 1e-6)
    straight = layer_norm(state, "b2.1.", peer_vit.block(state, "b2.0.", x[:, [0, 1, 2]], 1, None), 1e-6)
    close(peer_vit.vit_feature(state, IMAGES, shift=3)[:, 64:128], local[:, 0] / 4)
    close(peer_vit.vit_feature(state, IMAGES, rearrange=False)[:, 64:128], straight[:, 0] / 4)

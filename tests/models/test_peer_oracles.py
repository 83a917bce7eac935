"""The peers' drawn files against the key listings, and the parts of their oracles against torch's."""

from functools import partial

import peer_clip
import peer_parts
import peer_resnet
import peer_vit
import pytest
import torch
import torch.nn.functional as F
from peer_parts import Draw
from peers import LISTINGS, listing, shapes_of
from torch_layers import close, layer_norm

VIT_B = {"width": 768, "depth": 12, "classes": 1041, "tokens": 129}
VIT_S = VIT_B | {"width": 384}
LISTED = {
    "transreid_vit_base_msmt17": partial(peer_vit.vit_state, **VIT_B),
    "transreid_deit_small_msmt17": partial(peer_vit.vit_state, **VIT_S),
    "transreid_vit_small_legacy_msmt17": partial(
        peer_vit.vit_state, **VIT_B | {"depth": 8}, mlp_ratio=3, qkv_bias=False
    ),
    "transreid_vit_base_jpm_sie_stride12_msmt17": partial(
        peer_vit.vit_state, **VIT_B | {"tokens": 211}, sie_rows=15, jigsaw=True
    ),
    "transreid_veri_sie_cam_view": partial(
        peer_vit.vit_state, **VIT_B | {"tokens": 257, "classes": 575}, sie_rows=160, jigsaw=True
    ),
    "transreidssl_vit_small_msmt17": partial(peer_vit.vit_state, **VIT_S),
    "transreidssl_vit_small_ics_msmt17": partial(peer_vit.vit_state, **VIT_S, ics=True),
    "transreidssl_vit_base_ics_384_msmt17": partial(peer_vit.vit_state, **VIT_B | {"tokens": 193}, ics=True),
    "fastreid_market_bagtricks_vit": partial(peer_vit.fastreid_vit_state, **VIT_B | {"classes": 751}),
    "fastreid_market_bagtricks_R50": partial(peer_resnet.fastreid_resnet_state, classes=751),
    "fastreid_market_AGW_R50": partial(peer_resnet.fastreid_resnet_state, classes=751, non_local=True),
    "fastreid_msmt_sbs_R50_ibn": partial(
        peer_resnet.fastreid_resnet_state, classes=1041, non_local=True, ibn=True, gem=True
    ),
    "torchreid_resnet50_msmt17": partial(peer_resnet.torchreid_resnet_state, classes=1041),
    "torchreid_resnet50_fc512_msmt17": partial(peer_resnet.torchreid_resnet_state, classes=1041, fc=512),
    "transreid_resnet50_msmt17": partial(peer_resnet.transreid_resnet_state, classes=1041),
    "transreidssl_resnet50_ibn_a": partial(peer_resnet.transreid_resnet_state, classes=1041, ssl=True),
    "clipreid_baseline_vit_msmt17": partial(peer_clip.clip_vit_state, classes=1041, tokens=129, text=False),
    "clipreid_vit_msmt17": partial(peer_clip.clip_vit_state, classes=1041, tokens=129),
    "clipreid_vit_sie_olp_msmt17": partial(peer_clip.clip_vit_state, classes=1041, tokens=211, cv_rows=15),
    "clipreid_rn50_msmt17": partial(peer_clip.clip_rn50_state, classes=1041, tokens=129),
}
TOY_VIT = {"width": 64, "depth": 2, "tokens": 9, "classes": 3}
TOY_RESNET = {"blocks": (1, 1, 1, 1), "width": 8, "classes": 3}
TOY_CLIP = {
    "width": 64,
    "depth": 1,
    "embed": 16,
    "classes": 3,
    "tokens": 9,
    "text_width": 64,
    "text_depth": 1,
}


@pytest.mark.skipif(not LISTINGS.is_dir(), reason="the key listings of peers' checkpoints are not here")
@pytest.mark.parametrize("name", LISTED)
def test_a_drawn_file_has_the_keys_and_shapes_of_the_listing(name):
    with torch.device("meta"):
        state = LISTED[name]()
    assert shapes_of(state) == listing(name)


@pytest.mark.parametrize(
    "draw",
    [
        partial(peer_vit.vit_state, **TOY_VIT, ics=True, jigsaw=True, sie_rows=3, fcneck=32),
        partial(
            peer_resnet.fastreid_resnet_state,
            **TOY_RESNET,
            ibn=True,
            gem=True,
            non_local=(0, 1, 1, 0),
            generation=1,
        ),
        partial(peer_clip.clip_vit_state, **TOY_CLIP, cv_rows=2),
    ],
    ids=["vit", "resnet", "clip"],
)
def test_drawn_parameters_are_those_of_a_trained_network(draw):
    for key, value in draw().items():
        if key.endswith("num_batches_tracked"):
            assert value.dtype == torch.int64
            continue
        assert value.dtype == torch.float32, key
        assert bool((value != 0).all()), key
        if key.endswith("running_var"):
            assert value.min() >= 0.5, key
            assert value.max() <= 1.5, key


def test_a_seed_draws_the_same_file_again_and_another_seed_another():
    one, again, other = (peer_vit.vit_state(**TOY_VIT, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["base.cls_token"], other["base.cls_token"])


def test_norms_are_those_of_torch():
    draw, x = Draw(0), torch.randn(2, 6, 4, 3, generator=torch.Generator().manual_seed(0))
    s = draw.ibn("", 6) | draw.norm("ln.", 3)
    first = F.instance_norm(x[:, :3], weight=s["IN.weight"], bias=s["IN.bias"])
    statistics = s["BN.running_mean"], s["BN.running_var"]
    second = F.batch_norm(x[:, 3:], *statistics, s["BN.weight"], s["BN.bias"])
    close(peer_parts.ibn(s, "", x), torch.cat([first, second], dim=1))
    close(
        peer_parts.batch_norm(s, "BN.", x[:, :3, 0, 0]), peer_parts.batch_norm(s, "BN.", x[:, :3])[:, :, 0, 0]
    )
    close(peer_parts.layer_norm(s, "ln.", x, 0.1), layer_norm(s, "ln.", x, 0.1))


def test_the_power_mean_of_1_and_2_is_the_third_root_of_4_5_and_negatives_count_as_nothing():
    x = torch.tensor([[1.0, 2.0], [-5.0, 2.0]])
    close(peer_parts.power_mean(x, 3, 1), torch.tensor([4.5 ** (1 / 3), 4.0 ** (1 / 3)]))


def test_attention_takes_the_scale_it_is_given():
    q, k, v = Draw(0).normal(3, 2, 5, 12)
    alone = torch.softmax(q[..., 8:] @ k[..., 8:].mT * 12**-0.5, dim=-1) @ v[..., 8:]
    close(peer_parts.attention(q, k, v, heads=3, scale=12**-0.5)[..., 8:], alone)

"""The oracles of CLIP-ReID's networks against cases by hand and torch's own layers."""

import peer_clip
import peer_resnet
import torch
import torch.nn.functional as F
from peer_parts import Draw, smooth_images
from torch_layers import batch_norm, close, encoder_layer, layer_norm, with_parameters, without_branches

TOY_CLIP = {"width": 64, "embed": 16, "classes": 3, "tokens": 9, "text": False}  # for 64x32 images
IMAGES = smooth_images(2, 64, 32)


def test_a_clip_block_is_torchs_pre_norm_layer_with_quick_gelu():
    state = peer_clip.clip_vit_state(**TOY_CLIP | {"width": 128}, depth=1)
    names = {"self_attn.out_proj": "attn.out_proj", "linear1": "mlp.c_fc", "linear2": "mlp.c_proj"}
    names = with_parameters(names | {"norm1": "ln_1", "norm2": "ln_2"})
    names |= {f"self_attn.in_proj_{p}": f"attn.in_proj_{p}" for p in ("weight", "bias")}
    prefix = "image_encoder.transformer.resblocks.0."
    layer = encoder_layer(state, prefix, names, 128, lambda x: x * torch.sigmoid(1.702 * x), 1e-5)
    x = Draw(1).normal(2, 5, 128)
    close(peer_clip.resblock(state, prefix, x, heads=2), layer(x))


def test_clips_camera_row_reaches_the_class_token_alone():
    state = without_branches(
        peer_clip.clip_vit_state(**TOY_CLIP, depth=2, cv_rows=3), "attn.out_proj", "mlp.c_proj"
    )
    encoder = {k.removeprefix("image_encoder."): v for k, v in state.items()}
    token = encoder["class_embedding"] + 2.0 * state["cv_embed"][[1, 2]] + encoder["positional_embedding"][0]
    before = layer_norm(encoder, "ln_pre.", token, 1e-5)
    after = layer_norm(encoder, "ln_post.", before, 1e-5)
    rows = torch.tensor([1, 2])
    close(peer_clip.clip_vit_branches(state, IMAGES, rows=rows, coe=2.0)[0], before)
    close(
        peer_clip.clip_vit_feature(state, IMAGES, rows=rows, coe=2.0),
        torch.cat([after, after @ encoder["proj"]], dim=1),
    )


def test_clips_first_branch_is_the_class_token_before_the_last_block():
    state = peer_clip.clip_vit_state(**TOY_CLIP, depth=2)
    shorter = {k: v for k, v in state.items() if ".resblocks.1." not in k}
    before, last, _ = peer_clip.clip_vit_branches(state, IMAGES)
    expected = peer_clip.clip_vit_branches(shorter, IMAGES)[1]
    close(layer_norm(state, "image_encoder.ln_post.", before, 1e-5), expected)
    assert (last - expected).abs().mean() > 0.1


def test_clips_attention_pooling_is_torchs_attention_asked_by_the_mean():
    state = peer_clip.clip_rn50_state(classes=3, tokens=9, blocks=(1, 1, 1, 1), width=8, embed=16, text=False)
    pool = {k.removeprefix("image_encoder.attnpool."): v for k, v in state.items()}
    x = Draw(1).normal(2, 256, 4, 2)
    tokens = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pool["positional_embedding"][:, None]
    attended, _ = F.multi_head_attention_forward(
        tokens[:1],
        tokens,
        tokens,
        256,
        32,
        None,
        torch.cat([pool[f"{name}_proj.bias"] for name in "qkv"]),
        None,
        None,
        False,
        0.0,
        pool["c_proj.weight"],
        pool["c_proj.bias"],
        training=False,
        use_separate_proj_weight=True,
        q_proj_weight=pool["q_proj.weight"],
        k_proj_weight=pool["k_proj.weight"],
        v_proj_weight=pool["v_proj.weight"],
    )
    close(peer_clip.attention_pool(state, "image_encoder.attnpool.", x, heads=32), attended[0])


def test_a_strided_clip_block_averages_in_the_branch_and_in_the_shortcut():
    draw = Draw(0)
    state = peer_resnet.block_state(draw, "layer2.0.", 8, 4, 16, ibn=False)
    x = draw.normal(2, 8, 4, 6)
    y = F.relu(batch_norm(state, "layer2.0.bn1.", F.conv2d(x, state["layer2.0.conv1.weight"])))
    y = F.relu(batch_norm(state, "layer2.0.bn2.", F.conv2d(y, state["layer2.0.conv2.weight"], padding=1)))
    y = batch_norm(state, "layer2.0.bn3.", F.conv2d(F.avg_pool2d(y, 2), state["layer2.0.conv3.weight"]))
    x_half = F.conv2d(F.avg_pool2d(x, 2), state["layer2.0.downsample.0.weight"])
    expected = F.relu(y + batch_norm(state, "layer2.0.downsample.1.", x_half))
    close(peer_clip.bottleneck(state, "layer2.0.", x, 2), expected)


def test_clips_resnet_keeps_a_sixteenth_of_the_image_and_joins_two_features_after_their_necks():
    sizes = {"blocks": (1, 1, 1, 1), "width": 8, "embed": 16, "text": False, "cv_rows": 3}
    state = peer_clip.clip_rn50_state(classes=3, tokens=9, **sizes)
    third, last, pooled = peer_clip.clip_rn50_branches(state, IMAGES)
    assert (third.shape, last.shape, pooled.shape) == ((2, 128), (2, 256), (2, 16))
    assert torch.equal(peer_clip.clip_rn50_feature(state, IMAGES), torch.cat([last, pooled], dim=1))
    parts = [
        batch_norm(state, f"{neck}.", feature)
        for neck, feature in (("bottleneck", last), ("bottleneck_proj", pooled))
    ]
    close(peer_clip.clip_rn50_feature(state, IMAGES, neck_feat="after"), torch.cat(parts, dim=1))


def test_clips_stem_has_three_convolutions_and_its_stages_the_strides_1_2_2_1(monkeypatch):
    state = peer_clip.clip_rn50_state(classes=3, tokens=9, blocks=(1, 2, 1, 1), width=8, embed=16, text=False)
    x = IMAGES
    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = F.conv2d(x, state[f"image_encoder.conv{i}.weight"], stride=stride, padding=1)
        x = F.relu(batch_norm(state, f"image_encoder.bn{i}.", x))
    seen, block = [], peer_clip.bottleneck

    def watched(state, prefix, x, stride):
        seen.append((prefix.removeprefix("image_encoder."), stride, x))
        return block(state, prefix, x, stride)

    monkeypatch.setattr(peer_clip, "bottleneck", watched)
    peer_clip.clip_rn50_branches(state, IMAGES)
    close(seen[0][2], F.avg_pool2d(x, 2))
    strides = [("layer1.0.", 1), ("layer2.0.", 2), ("layer2.1.", 1), ("layer3.0.", 2), ("layer4.0.", 1)]
    assert [s[:2] for s in seen] == strides

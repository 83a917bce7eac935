"""Norms, pooling, non-local blocks and attention pooling: by hand, and by their equations."""

import pytest
import torch
from torch.nn import functional as F

from reid.models.backbones.clip import AttentionPool
from reid.models.backbones.non_local import NonLocal
from reid.models.backbones.norm import IBN
from reid.models.backbones.pooling import GeM, generalised_mean

MAPS = torch.randn(2, 6, 3, 2, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_ibn_normalises_one_half_by_image_and_the_other_by_its_statistics():
    ibn = IBN(6).eval()
    ibn.BN.running_mean.fill_(2.0)
    own = MAPS[:, :3]
    mean, var = own.mean((2, 3), keepdim=True), own.var((2, 3), unbiased=False, keepdim=True)
    torch.testing.assert_close(ibn(MAPS)[:, :3], (own - mean) / (var + 1e-5).sqrt())
    torch.testing.assert_close(ibn(MAPS)[:, 3:], (MAPS[:, 3:] - 2) / (1 + 1e-5) ** 0.5)


def test_the_generalised_mean_lies_between_average_and_maximum():
    x = torch.tensor([[1.0, 2.0, 4.0]])
    assert generalised_mean(x, 1.0, 1).item() == pytest.approx(7 / 3)
    assert generalised_mean(x, 3.0, 1).item() == pytest.approx((73 / 3) ** (1 / 3))
    assert generalised_mean(x, 60.0, 1).item() == pytest.approx(4, abs=0.1)
    assert generalised_mean(-x, 3.0, 1).item() == pytest.approx(1e-6)


def test_the_exponent_is_trained_from_3():
    gem = GeM()
    assert gem.p.tolist() == [3]
    pooled = gem(MAPS)
    assert pooled.shape == (2, 6)
    pooled.sum().backward()
    assert gem.p.grad.item() != 0


@torch.no_grad()
def test_a_non_local_block_is_its_equation_and_begins_as_the_identity():
    torch.manual_seed(0)
    block = NonLocal(6).eval()
    assert torch.equal(block(MAPS), MAPS)
    block.W[1].weight.fill_(1.0)
    theta, phi, g = (layer(MAPS).flatten(2) for layer in (block.theta, block.phi, block.g))
    y = torch.zeros(2, 1, 6)
    for image in range(2):
        for i in range(6):
            y[image, 0, i] = sum(theta[image, 0, i] * phi[image, 0, j] * g[image, 0, j] for j in range(6)) / 6
    torch.testing.assert_close(block(MAPS), block.W(y.reshape(2, 1, 3, 2)) + MAPS)


@torch.no_grad()
def test_attention_pooling_asks_with_the_average():
    torch.manual_seed(0)
    pool = AttentionPool(128, (3, 2), 5)
    x = torch.randn(2, 128, 3, 2)
    tokens = torch.cat([x.mean((2, 3))[:, None], x.flatten(2).transpose(1, 2)], 1) + pool.pos_embed
    weights, biases = pool.qkv.weight.chunk(3), pool.qkv.bias.chunk(3)
    tokens = tokens.transpose(0, 1)
    expected, _ = F.multi_head_attention_forward(
        *(tokens[:1], tokens, tokens, 128, 2, None, torch.cat(biases), None, None, False, 0.0),
        *(pool.proj.weight, pool.proj.bias),
        use_separate_proj_weight=True,
        q_proj_weight=weights[0],
        k_proj_weight=weights[1],
        v_proj_weight=weights[2],
    )
    torch.testing.assert_close(pool(x), expected[0])

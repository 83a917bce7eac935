"""Floating-point operations of one image."""

import pytest
import torch
from torch import nn

from reid.evaluation import count_flops
from reid.models import ModelSpec, ReIDModel
from reid.utils import InputError


def test_products_by_hand():
    # 3x3 convolution of 3 to 5 channels on 4x6 places, then 120 to 7: a multiply-add is two operations.
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(120, 7))
    expected = 2 * (4 * 6 * 3 * 5 * 9 + 120 * 7)
    assert count_flops(model, torch.zeros(1, 3, 4, 6)) == expected
    assert count_flops(model, torch.zeros(8, 3, 4, 6)) == expected  # of one image, however many there are


def test_attention_is_counted_and_the_model_is_left_as_it_was():
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), 3)).train()
    block = next(module for module in model.modules() if type(module).__name__ == "Block")
    width, hidden = block.mlp.fc1.in_features, block.mlp.fc1.out_features
    num_blocks = sum(isinstance(module, type(block)) for module in model.modules())
    kernel = next(module for module in model.modules() if isinstance(module, nn.Conv2d)).kernel_size
    tokens = (32 // kernel[0]) * (32 // kernel[1]) + 1
    linear = tokens * (4 * width**2 + 2 * width * hidden)
    attention = 2 * tokens**2 * width
    patches = (tokens - 1) * 3 * kernel[0] * kernel[1] * width
    assert count_flops(model, torch.zeros(1, 3, 32, 32)) == 2 * (num_blocks * (linear + attention) + patches)
    assert model.training


def test_the_embedding_is_counted_not_the_classifier():
    model = ReIDModel(ModelSpec("vit_micro", (32, 32), 3))
    larger = ReIDModel(ModelSpec("vit_micro", (32, 32), 3000))
    images = torch.zeros(1, 3, 32, 32)
    assert count_flops(model, images) == count_flops(larger, images)
    with pytest.raises(InputError, match="3, H, W"):
        count_flops(model, torch.zeros(1, 5, 32, 32))
    assert model.training

"""What the peers' networks are made of: random parameters under their keys, and the layers' equations.

Nothing here reads `reid` or a layer of torch.nn, so that networks written with it check ours independently.
"""

import math

import torch
import torch.nn.functional as F


class Draw:
    """Random parameters as a trained network has them, from one seed: no zeros, activations of size 1.

    A layer's method returns its tensors by key. Inside `with torch.device("meta")` they have shapes only.
    """

    def __init__(self, seed):
        self.generator = torch.Generator(device="cpu").manual_seed(seed)

    def normal(self, *shape, std=1.0, mean=0.0):
        return torch.empty(shape).normal_(mean, std, generator=self.generator)

    def uniform(self, *shape, low=0.5, high=1.5):
        return torch.empty(shape).uniform_(low, high, generator=self.generator)

    def linear(self, prefix, out_dim, in_dim, bias=True):
        state = {f"{prefix}weight": self.normal(out_dim, in_dim, std=in_dim**-0.5)}
        return state | ({f"{prefix}bias": self.normal(out_dim, std=0.2)} if bias else {})

    def conv(self, prefix, out_dim, in_dim, kernel, bias=False, gain=1.0):
        """Gain 1 keeps the mean square through the convolution and the ReLU behind it."""
        std = gain * (2 / (in_dim * kernel**2)) ** 0.5
        state = {f"{prefix}weight": self.normal(out_dim, in_dim, kernel, kernel, std=std)}
        return state | ({f"{prefix}bias": self.normal(out_dim, std=0.2)} if bias else {})

    def norm(self, prefix, dim):
        """A LayerNorm or an InstanceNorm."""
        return {f"{prefix}weight": self.uniform(dim), f"{prefix}bias": self.normal(dim, std=0.2)}

    def batch_norm(self, prefix, dim):
        statistics = {
            f"{prefix}running_mean": self.normal(dim, std=0.2),
            f"{prefix}running_var": self.uniform(dim),
            f"{prefix}num_batches_tracked": torch.tensor(7),
        }
        return self.norm(prefix, dim) | statistics

    def ibn(self, prefix, dim):
        half = dim // 2
        return self.norm(f"{prefix}IN.", half) | self.batch_norm(f"{prefix}BN.", dim - half)


def smooth_images(batch, height, width, seed=0):
    """(B, 3, H, W) images that differ in their broad shapes as photographs do, with noise on top."""
    draw = Draw(seed)
    shapes = F.interpolate(draw.normal(batch, 3, 8, 4), (height, width), mode="bilinear")
    return shapes + draw.normal(batch, 3, height, width, std=0.3)


def linear(state, prefix, x):
    """x W^T + b; without b where the state has none."""
    y = x @ state[f"{prefix}weight"].T
    return y + state[f"{prefix}bias"] if f"{prefix}bias" in state else y


def conv(state, prefix, x, stride=1, padding=0):
    return F.conv2d(x, state[f"{prefix}weight"], state.get(f"{prefix}bias"), stride, padding)


def channelwise(x, scale, shift):
    """Scale and shift channel 1 of x (B, C) or (B, C, H, W)."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return x * scale.reshape(shape) + shift.reshape(shape)


def layer_norm(state, prefix, x, eps):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis."""
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(var + eps) * state[f"{prefix}weight"] + state[f"{prefix}bias"]


def batch_norm(state, prefix, x):
    """(x - running_mean) / sqrt(running_var + 1e-5) * weight + bias."""
    scale = state[f"{prefix}weight"] / torch.sqrt(state[f"{prefix}running_var"] + 1e-5)
    return channelwise(x, scale, state[f"{prefix}bias"] - state[f"{prefix}running_mean"] * scale)


def instance_norm(state, prefix, x):
    """As batch_norm, with the statistics of each image's own channel map."""
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    return channelwise((x - mean) / torch.sqrt(var + 1e-5), state[f"{prefix}weight"], state[f"{prefix}bias"])


def ibn(state, prefix, x):
    """InstanceNorm of the first channels, BatchNorm of the others."""
    half = state[f"{prefix}IN.weight"].numel()
    return torch.cat(
        [instance_norm(state, f"{prefix}IN.", x[:, :half]), batch_norm(state, f"{prefix}BN.", x[:, half:])],
        dim=1,
    )


def any_norm(state, prefix, x):
    """IBN or BatchNorm, whichever the state holds."""
    return ibn(state, prefix, x) if f"{prefix}IN.weight" in state else batch_norm(state, prefix, x)


def attention(q, k, v, heads, scale=None):
    """softmax(q k^T scale) v, one head's slice of the last axis after another; scale: head_dim^-0.5."""
    dim = q.shape[-1] // heads
    scale = dim**-0.5 if scale is None else scale
    mixed = []
    for head in range(heads):
        part = slice(head * dim, (head + 1) * dim)
        weights = (q[..., part] @ k[..., part].transpose(-2, -1) * scale).softmax(dim=-1)
        mixed.append(weights @ v[..., part])
    return torch.cat(mixed, dim=-1)


def gelu(x):
    """x times the normal distribution function of x."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def power_mean(x, p, dim):
    """(mean of max(x, 1e-6)^p)^(1/p)."""
    return x.clamp(min=1e-6).pow(p).mean(dim).pow(1 / p)


def count(state, pattern):
    """How many of pattern.format(0), pattern.format(1), ... are keys."""
    number = 0
    while pattern.format(number) in state:
        number += 1
    return number

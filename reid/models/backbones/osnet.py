"""OSNet: omni-scale features for re-identification, with and without instance normalisation.

Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification", ICCV 2019 (OSNet, OSNet-IBN), and
"Learning Generalisable Omni-Scale Representations for Person Re-Identification", TPAMI 2021 (OSNet-AIN).
Parameters have the names of the authors' library, torchreid, so that its files load strictly.
"""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["batch", "instance", "none"]

# Channels of the stem and of the three stages, by width multiplier.
WIDTHS = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}
# Channels and variant, by backbone name.
OSNETS: dict[str, tuple[tuple[int, int, int, int], str]] = {
    **{f"osnet_{width}": (channels, "plain") for width, channels in WIDTHS.items()},
    "osnet_ibn_x1_0": (WIDTHS["x1_0"], "ibn"),
    **{f"osnet_ain_{width}": (channels, "ain") for width, channels in WIDTHS.items()},
}
# Which of the six blocks of OSNet-AIN normalise each image: found by search (TPAMI 2021).
AIN_BLOCKS = ((True, True), (False, True), (True, False))
NUM_STREAMS, REDUCTION, GATE_REDUCTION = 4, 4, 16


class ConvNorm(nn.Module):
    """A convolution without bias, its normalisation and, unless linear, a ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        norm: Norm = "batch",
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn: nn.Module = nn.Identity()
        if norm != "none":
            self.bn = nn.BatchNorm2d(outputs) if norm == "batch" else _instance_norm(outputs)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H', W')."""
        return self.relu(self.bn(self.conv(x)))


class LightConv(nn.Module):
    """A 3x3 convolution factorised into a pointwise and a depthwise one, with BatchNorm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return F.relu(self.bn(self.conv2(self.conv1(x))))


class LightStream(nn.Module):
    """``depth`` light convolutions in a row: a receptive field of 2 depth + 1 pixels."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(LightConv(channels) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.layers(x)


class ChannelGate(nn.Module):
    """Weigh the channels by what the whole map holds; one gate is shared by all streams of a block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // GATE_REDUCTION, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * self.fc2(F.relu(self.fc1(pooled))).sigmoid()


class OSBlock(nn.Module):
    """A residual block whose bottleneck sees four scales at once.

        y = relu(N(conv3(sum_t gate(stream_t(conv1(x)))) + shortcut(x)))        t = 1 .. 4 light convolutions

    Args:
        inputs: Channels of x.
        outputs: Channels of y; the streams have a quarter.
        instance_norm: Whether N is an instance normalisation (OSNet-IBN) or nothing.
    """

    def __init__(self, inputs: int, outputs: int, instance_norm: bool = False) -> None:
        super().__init__()
        middle = outputs // REDUCTION
        self.conv1 = ConvNorm(inputs, middle)
        self.conv2a = LightConv(middle)
        self.conv2b = nn.Sequential(*(LightConv(middle) for _ in range(2)))
        self.conv2c = nn.Sequential(*(LightConv(middle) for _ in range(3)))
        self.conv2d = nn.Sequential(*(LightConv(middle) for _ in range(4)))
        self.gate = ChannelGate(middle)
        self.conv3 = ConvNorm(middle, outputs, relu=False)
        self.downsample = _shortcut(inputs, outputs)
        self.IN = _instance_norm(outputs) if instance_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        y = self.conv1(x)
        gate = self.gate
        y = gate(self.conv2a(y)) + gate(self.conv2b(y)) + gate(self.conv2c(y)) + gate(self.conv2d(y))
        return F.relu(self.IN(self.conv3(y) + self.downsample(x)))


class AINBlock(nn.Module):
    """The block of OSNet-AIN: an instance normalisation, where there is one, lies inside the residual.

        y = relu(N(conv3(sum_t gate(stream_t(conv1(x))))) + shortcut(x))

    Args:
        inputs: Channels of x.
        outputs: Channels of y.
        instance_norm: Whether N is an instance normalisation, or a BatchNorm as in OSNet.
    """

    def __init__(self, inputs: int, outputs: int, instance_norm: bool) -> None:
        super().__init__()
        middle = outputs // REDUCTION
        self.conv1 = ConvNorm(inputs, middle)
        self.conv2 = nn.ModuleList(LightStream(middle, depth) for depth in range(1, NUM_STREAMS + 1))
        self.gate = ChannelGate(middle)
        self.conv3 = ConvNorm(middle, outputs, norm="none" if instance_norm else "batch", relu=False)
        self.downsample = _shortcut(inputs, outputs)
        self.IN = _instance_norm(outputs) if instance_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        y = self.conv1(x)
        first, *others = (self.gate(stream(y)) for stream in self.conv2)
        return F.relu(self.IN(self.conv3(sum(others, start=first))) + self.downsample(x))


class OSNet(nn.Module):
    """Stem, three stages of two blocks, a pointwise convolution, average, and a linear layer.

    The feature is the linear layer's output after BatchNorm and ReLU, as torchreid evaluates with: no entry
    is negative. 256x128 gives a last map of 16x8 cells.

    Args:
        name: One of ``OSNETS``.
        dim: Width of the feature.
    """

    def __init__(self, name: str, dim: int = 512) -> None:
        super().__init__()
        channels, variant = OSNETS[name]
        self.num_features = dim
        self.conv1 = ConvNorm(
            3, channels[0], kernel=7, stride=2, norm="batch" if variant == "plain" else "instance"
        )
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        pairs = list(pairwise(channels))
        if variant == "ain":
            stages = [_ain_stage(*pair, norms) for pair, norms in zip(pairs, AIN_BLOCKS, strict=True)]
            self.pool2, self.pool3 = _transition(channels[1]), _transition(channels[2])
        else:
            stages = [
                _stage(*pair, instance_norm=variant == "ibn" and i == 0) for i, pair in enumerate(pairs)
            ]
            # torchreid counts the transition as a part of its stage here.
            stages[0].append(_transition(channels[1]))
            stages[1].append(_transition(channels[2]))
            self.pool2, self.pool3 = nn.Identity(), nn.Identity()
        self.conv2, self.conv3, self.conv4 = stages
        self.conv5 = ConvNorm(channels[3], channels[3])
        self.fc = nn.Sequential(nn.Linear(channels[3], dim), nn.BatchNorm1d(dim), nn.ReLU())
        self.apply(_init)

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to the last map (B, C, H/16, W/16)."""
        x = self.maxpool(self.conv1(x))
        x = self.pool2(self.conv2(x))
        x = self.pool3(self.conv3(x))
        return self.conv5(self.conv4(x))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, dim)."""
        return self.fc(self.forward_features(x).mean((2, 3)))


def _instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


def _shortcut(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else ConvNorm(inputs, outputs, relu=False)


def _stage(inputs: int, outputs: int, instance_norm: bool) -> nn.Sequential:
    return nn.Sequential(OSBlock(inputs, outputs, instance_norm), OSBlock(outputs, outputs, instance_norm))


def _ain_stage(inputs: int, outputs: int, norms: tuple[bool, bool]) -> nn.Sequential:
    return nn.Sequential(AINBlock(inputs, outputs, norms[0]), AINBlock(outputs, outputs, norms[1]))


def _transition(channels: int) -> nn.Module:
    return nn.Sequential(ConvNorm(channels, channels), nn.AvgPool2d(2))


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)

"""ResNets of the field: timm's, with the stems, norms and heads that the code bases gave them."""

from dataclasses import dataclass
from typing import Literal

import timm
from torch import nn

from reid.models.backbones.non_local import NonLocal
from reid.models.backbones.norm import IBN
from reid.models.backbones.pooling import GeM
from reid.models.spec import ModelSpec


@dataclass(frozen=True)
class ResNetPlan:
    """How one backbone differs from torchvision's network of its depth.

    Args:
        timm_name: The network in timm.
        stem: ``torchvision``; ``fastreid`` pools windows that lie one pixel further right and down, since
            August 2020 (its pull request 214); ``transreid`` has no ReLU behind the first norm and pools
            windows of 2, as the code that TransReID took over.
        ibn: Whether blocks of the first three stages begin with an IBN.
        non_local: How many of each stage's last blocks a non-local block follows.
        fc_dim: Width of a linear layer with BatchNorm and ReLU behind the pooling; 0 for none.
    """

    timm_name: str
    stem: Literal["torchvision", "fastreid", "transreid"] = "torchvision"
    ibn: bool = False
    non_local: tuple[int, int, int, int] = (0, 0, 0, 0)
    fc_dim: int = 0


# fast-reid's counts (its NL options).
NON_LOCAL = {"resnet50": (0, 2, 3, 0), "resnet101": (0, 2, 9, 0)}
DEPTHS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

RESNETS: dict[str, ResNetPlan] = {
    # timm's small ones have a stem of three convolutions.
    "resnet10": ResNetPlan("resnet10t"),
    "resnet14": ResNetPlan("resnet14t"),
    **{name: ResNetPlan(name) for name in DEPTHS},
    **{f"{name}_ibn": ResNetPlan(name, ibn=True) for name in DEPTHS},
    **{f"{name}_transreid": ResNetPlan(name, "transreid") for name in DEPTHS},
    **{f"{name}_fastreid": ResNetPlan(name, "fastreid") for name in DEPTHS},
    **{f"{name}_ibn_fastreid": ResNetPlan(name, "fastreid", ibn=True) for name in DEPTHS},
    # The stem of fast-reid's first heads was torchvision's.
    **{f"{name}_nl": ResNetPlan(name, non_local=nl) for name, nl in NON_LOCAL.items()},
    **{f"{name}_ibn_nl": ResNetPlan(name, ibn=True, non_local=nl) for name, nl in NON_LOCAL.items()},
    **{f"{name}_nl_fastreid": ResNetPlan(name, "fastreid", False, nl) for name, nl in NON_LOCAL.items()},
    **{f"{name}_ibn_nl_fastreid": ResNetPlan(name, "fastreid", True, nl) for name, nl in NON_LOCAL.items()},
    "resnet50_fc512": ResNetPlan("resnet50", fc_dim=512),
}


def create_resnet(spec: ModelSpec) -> nn.Module:
    """The ResNet of ``spec``: images (B, 3, H, W) to the pooled last map (B, C), or its ``fc_dim`` features.

    With a last stride of 1, 256x128 gives 16x8 cells (Luo et al., CVPRW 2019).
    """
    plan = RESNETS[spec.name]
    resnet = timm.create_model(plan.timm_name, num_classes=0)
    if spec.last_stride == 1:
        keep_last_resolution(resnet)
    if plan.stem == "fastreid":
        resnet.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    elif plan.stem == "transreid":
        resnet.act1, resnet.maxpool = nn.Identity(), nn.MaxPool2d(2)
    if plan.ibn:
        _add_ibn(resnet)
    _add_non_local(resnet, plan.non_local)
    if spec.gem:
        resnet.global_pool = GeM()
    if plan.fc_dim:
        linear = nn.Linear(int(resnet.num_features), plan.fc_dim)  # type: ignore[arg-type]
        resnet.fc = nn.Sequential(linear, nn.BatchNorm1d(plan.fc_dim), nn.ReLU(inplace=True))
        resnet.num_features = plan.fc_dim  # type: ignore[assignment]
    return resnet


def keep_last_resolution(resnet: nn.Module) -> None:
    """Set the last stage's stride to 1, without timm's dilation: pre-trained weights keep their meaning."""
    for module in resnet.get_submodule("layer4").modules():
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d):
            module.kernel_size = module.stride = 1


def _add_ibn(resnet: nn.Module) -> None:
    for stage in ("layer1", "layer2", "layer3"):
        for block in resnet.get_submodule(stage).children():
            block.bn1 = IBN(block.bn1.num_features)  # type: ignore[union-attr, arg-type]


def _add_non_local(resnet: nn.Module, counts: tuple[int, ...]) -> None:
    for stage, count in enumerate(counts, 1):
        blocks = resnet.get_submodule(f"layer{stage}")
        assert isinstance(blocks, nn.Sequential)  # as timm builds its stages
        for index in range(len(blocks) - count, len(blocks)):
            # The last norm of a block is the widest.
            norms = [m for m in blocks[index].modules() if isinstance(m, nn.BatchNorm2d)]
            width = max(norm.num_features for norm in norms)
            blocks[index] = nn.Sequential(blocks[index], NonLocal(width))

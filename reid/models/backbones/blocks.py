"""The blocks of a backbone: the residual parts that it repeats, where most activations of training are."""

from timm.models.resnet import BasicBlock, Bottleneck
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from timm.models.vision_transformer import Block
from torch import nn

from reid.models.backbones.non_local import NonLocal
from reid.models.backbones.osnet import AINBlock, OSBlock
from reid.utils import InputError

# None of them lies in another.
BLOCKS = (
    *(Block, SwinTransformerBlock, SwinTransformerV2Block),
    *(BasicBlock, Bottleneck, NonLocal),
    *(OSBlock, AINBlock),
)


def blocks_of(backbone: nn.Module) -> list[nn.Module]:
    """Every block of a backbone once, in the order of registration; those of all branches are among them.

    Raises:
        InputError: If there is none.
    """
    blocks: list[nn.Module] = [module for module in backbone.modules() if isinstance(module, BLOCKS)]
    if not blocks:
        raise InputError(
            f"a backbone must have blocks of {', '.join(kind.__name__ for kind in BLOCKS)} to be computed"
            f" again in the backward pass, got {type(backbone).__name__}; set SOLVER.GRAD_CHECKPOINTING False"
        )
    return blocks

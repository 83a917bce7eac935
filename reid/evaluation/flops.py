"""What embedding one image costs in floating-point operations."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reid.evaluation.features import evaluation_mode


def count_flops(model: nn.Module, images: Tensor) -> int:
    """Operations of the matrix products and convolutions that one image needs; the rest is not counted.

    A multiply-add is two operations; what papers call FLOPs is often the number of multiply-adds, half of it.

    Args:
        model: With ``embed``, or else its forward; on the device of the images, left in the mode it had.
        images: (B, 3, H, W), B at least 1; the first is embedded.
    """
    call = getattr(model, "embed", model)
    # A fused attention kernel is one operation that the counter may not know; written out it is two products.
    counter = FlopCounterMode(display=False)
    with evaluation_mode(model), torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), counter:
        call(images[:1])
    return int(counter.get_total_flops())

"""A model as it is used for retrieval alone: number format, memory layout and compilation, each a flag."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from reid.models.reid_model import ReIDModel
from reid.utils import InputError, unknown_choice

DType = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[str, ...] = get_args(DType)
# Layers whose products autocast computes in the narrow format. A subclass may use its weight in other ways.
NARROWED = (nn.Linear, nn.Conv2d)


@dataclass(frozen=True)
class InferenceOptions:
    """What inference may trade for speed; by default nothing, which is plain eager float32.

    Args:
        dtype: Number format of matrix products and convolutions: ``float32``, ``bfloat16`` or ``float16``.
        channels_last: Whether convolutions keep their channels last in memory.
        compile: Whether torch.compile builds the network, at its first call, which takes up to minutes.

    Raises:
        InputError: If the number format is none of them.
    """

    dtype: DType = "float32"
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise InputError(unknown_choice("number format", str(self.dtype), DTYPES))

    def one_by_one(self) -> dict[str, "InferenceOptions"]:
        """For each flag that is set, by its name, the options that set it alone."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = InferenceOptions()
        return {
            name: replace(plain, **{name: value})
            for name, value in values.items()
            if value != getattr(plain, name)
        }

    def describe(self) -> str:
        """The flags that are set in words; empty where none is."""
        words = {self.dtype: self.dtype != "float32", "channels last": self.channels_last}
        return ", ".join(word for word, is_set in (words | {"compiled": self.compile}).items() if is_set)


class InferenceModel(nn.Module):
    """Embeds as the model that it is a copy of does, up to the rounding of its options.

    In float32 without compilation the features are the model's own bits. A narrow format is autocast's:
    matrix products, convolutions and attention are computed in it; norms keep float32 parameters and
    statistics, LayerNorm and softmax sum in float32, and a transformer's residual stream stays float32. In a
    network converted as a whole that stream would be narrow too, where float16 ends at 65,504 and bfloat16
    keeps 8 bits. Only the weights of linear layers and convolutions are stored narrowly, once: the bits
    that autocast would make of them at every call, in half the memory.

    Args:
        model: What to copy; left as it was.
        options: What is traded for speed.

    Raises:
        InputError: If torch cannot compile under this Python.
    """

    def __init__(self, model: ReIDModel, options: InferenceOptions) -> None:
        super().__init__()
        self.spec = model.spec
        self.preprocessing = model.preprocessing
        self.options = options
        self.dtype: torch.dtype = getattr(torch, options.dtype)
        self.network = copy.deepcopy(model).eval()
        for layer in self.network.modules():
            if type(layer) in NARROWED:
                layer.to(self.dtype)
        if options.channels_last:
            # Images need no change: a convolution follows the layout of its weight.
            self.network.to(memory_format=torch.channels_last)
        self._embed = _compiled(self.network.embed) if options.compile else self.network.embed

    @torch.inference_mode()
    def embed(self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """Map images (B, 3, H, W) float32 to retrieval features (B, dim) float32, not normalised.

        They are tensors of inference mode: a ``clone()`` outside of it can be trained with. The other
        arguments are :meth:`ReIDModel.forward`'s.

        Raises:
            InputError: If compilation fails, such as without a C++ compiler on a CPU.
        """
        narrow = self.dtype != torch.float32
        with torch.autocast(images.device.type, self.dtype if narrow else None, enabled=narrow):
            return self._embed(images, camids, viewids).float()


def prepare_for_inference(model: ReIDModel, options: InferenceOptions) -> InferenceModel:
    """A copy of ``model`` that embeds under ``options``, on the same device; the original stays as it was."""
    return InferenceModel(model, options)


def _compiled(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile ``call`` at its first call, and word what fails then.

    Raises:
        InputError: If torch cannot compile under this Python.
    """
    # Imported here: it takes seconds, and only compilation needs it.
    from torch._dynamo.exc import BackendCompilerFailed

    try:
        compiled = torch.compile(call)
    except RuntimeError as error:
        raise _no_compilation(error) from error

    def run(*inputs: Tensor | None) -> Tensor:
        try:
            return compiled(*inputs)
        except BackendCompilerFailed as error:
            raise _no_compilation(error) from error

    return run


def _no_compilation(error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"torch.compile must work here, it failed: {reason}; leave compilation out")

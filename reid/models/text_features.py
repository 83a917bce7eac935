"""The file of text features between the two stages of CLIP-ReID: the first writes it, the second reads it."""

from pathlib import Path

import torch
from torch import Tensor

from reid.models.read import read_file
from reid.models.weights import refuse_values
from reid.utils import InputError, write_atomically

TEXT_FEATURES = "text_features"


def save_text_features(path: Path, text_features: Tensor, cls_ctx: Tensor, prompt: str) -> None:
    """Write a plain file of tensors, atomically.

    Args:
        path: The file.
        text_features: (K, D), one row a training identity, in the order of the class labels.
        cls_ctx: (K, 4, width) the learned words that they come from.
        prompt: Into which the words were put.

    Raises:
        OSError: If the file cannot be written.
    """
    content = {
        TEXT_FEATURES: text_features.detach().cpu().contiguous(),
        "cls_ctx": cls_ctx.detach().cpu().contiguous(),
        "num_classes": len(text_features),
        "prompt": prompt,
    }
    # To an open file: of a path torch takes the archive's name, which must not be empty.
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def load_text_features(path: Path, num_classes: int, dim: int) -> Tensor:
    """The text features in a file, (num_classes, dim) float32.

    Args:
        path: What :func:`save_text_features` wrote.
        num_classes: Training identities.
        dim: Width of the projected image feature.

    Raises:
        InputError: If the file cannot be read or holds none, or they are of another number of identities, of
            another width, or not finite.
    """
    content = read_file(path)
    found = content.get(TEXT_FEATURES) if isinstance(content, dict) else None
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise InputError(f"{path} must hold {TEXT_FEATURES} (K, D); write it with tools/learn_prompts.py")
    if len(found) != num_classes:
        raise InputError(
            f"{path} has texts of {len(found)} identities, the training images show {num_classes}; learn"
            " prompts on these images"
        )
    if found.shape[1] != dim:
        raise InputError(
            f"{path} has texts of width {found.shape[1]}, the projected image feature has {dim}; learn them"
            " with this MODEL.NAME"
        )
    refuse_values(path, {TEXT_FEATURES: found}, {TEXT_FEATURES: torch.empty(0)})
    return found.float()

"""What each flag of inference does to the features: their difference to plain eager float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reid.evaluation import evaluation_mode
from reid.models import ReIDModel
from reid.models.inference import InferenceOptions, prepare_for_inference

TOGETHER = "together"


@dataclass(frozen=True)
class FlagDifference:
    """How far one flag moves the features.

    Args:
        value: The flag's; for several flags together their values in words.
        difference: Largest |with - plain| over largest |plain|.
        mean_cosine: Mean over the images of the cosine of the two features.
        num_images: How many images that is over.
    """

    value: str | bool
    difference: float
    mean_cosine: float
    num_images: int

    def as_text(self, name: str) -> str:
        """One line."""
        return (
            f"inference {name} {self.value} against eager float32: largest feature difference, relative:"
            f" {self.difference:.1e}; mean cosine {self.mean_cosine:.6f}; {self.num_images} images"
        )

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "value": self.value,
            "feature_difference": self.difference,
            "cosine_mean": self.mean_cosine,
            "num_images": self.num_images,
        }


def flag_differences(
    model: ReIDModel, options: InferenceOptions, batches: Sequence[tuple[Tensor, ...]]
) -> dict[str, FlagDifference]:
    """Embed images plainly, with each flag that is set alone, and with all where there are several.

    Args:
        model: On the device of the images; left as it was.
        options: The flags.
        batches: Arguments of ``embed``: images (B, 3, H, W), and what follows them.

    Returns:
        By the flag's name, and ``together``; empty where no flag is set.
    """
    each: dict[str, InferenceOptions] = options.one_by_one()
    if not each:
        return {}
    cases = each | ({TOGETHER: options} if len(each) > 1 else {})
    with evaluation_mode(model):
        plain = torch.cat([model.embed(*batch) for batch in batches])
    differences = {}
    for name, case in cases.items():
        prepared = prepare_for_inference(model, case)
        feats = torch.cat([prepared.embed(*batch) for batch in batches])
        value = options.describe() if name == TOGETHER else getattr(case, name)
        cosine = float(F.cosine_similarity(feats, plain).mean())
        differences[name] = FlagDifference(value, relative_difference(feats, plain), cosine, len(plain))
    return differences


def relative_difference(a: Tensor, b: Tensor) -> float:
    """Largest |a - b| over largest |b|."""
    return float((a - b).abs().max() / b.abs().max())

"""The re-identification model: backbone, BNNeck, classifier."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor, nn

from reid.models.backbone import create_backbone, patch_grid
from reid.models.embedding import EmbeddingDenoiser
from reid.models.neck import BNNeck
from reid.models.output import ReIDOutput
from reid.models.preprocessing import Preprocessing, check_size
from reid.utils import InputError

NeckFeat = Literal["before", "after"]
MAX_CLASSES = 10**6


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a model again before its weights are loaded.

    Args:
        name: Backbone, one of ``BACKBONES``.
        image_size: Height and width in pixels.
        num_classes: Training identities; 0 where there are no labels.
        drop_path: Stochastic depth of vision transformers.
        last_stride: Stride of a ResNet's last stage, 1 or 2.
        neck_feat: Which feature is retrieved with: before or after the BNNeck.
        adapted: Whether the retrieval feature goes through an :class:`EmbeddingDenoiser`.

    Raises:
        InputError: If a number is outside its range, or ``neck_feat`` is neither.
    """

    name: str
    image_size: tuple[int, int]
    num_classes: int
    drop_path: float = 0.0
    last_stride: int = 1
    neck_feat: NeckFeat = "before"
    adapted: bool = False

    def __post_init__(self) -> None:
        check_size("image_size", self.image_size)
        if not 0 <= self.num_classes <= MAX_CLASSES:
            raise InputError(f"num_classes must be in 0..{MAX_CLASSES}, got {self.num_classes}")
        if not 0 <= self.drop_path <= 1:
            raise InputError(f"drop_path must be in 0..1, got {self.drop_path}")
        if self.last_stride not in (1, 2):
            raise InputError(f"last_stride must be 1 or 2, got {self.last_stride}")
        if self.neck_feat not in ("before", "after"):
            raise InputError(f"neck_feat must be before or after, got {self.neck_feat!r}")


class ReIDModel(nn.Module):
    """A backbone with a BNNeck and a bias-free classifier over the training identities.

        feat = backbone(images),  bn_feat = BNNeck(feat),  logits = W bn_feat

    Source: Luo et al., CVPRW 2019; TransReID keeps it.

    Args:
        spec: What to build.
        preprocessing: What its images must go through, for :meth:`preprocess`.

    Raises:
        InputError: If the backbone is unknown, or does not fit the image size or that of the preprocessing.
    """

    def __init__(self, spec: ModelSpec, preprocessing: Preprocessing | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.preprocessing = preprocessing
        self.backbone = create_backbone(spec.name, spec.image_size, spec.drop_path, spec.last_stride)
        if preprocessing and patch_grid(self.backbone) and preprocessing.size != spec.image_size:
            raise InputError(
                f"{spec.name} works at one image size: the preprocessing's {list(preprocessing.size)}"
                f" (INPUT.SIZE_TEST) must equal {list(spec.image_size)} (INPUT.SIZE_TRAIN)"
            )
        self.dim = int(self.backbone.num_features)  # type: ignore[arg-type]
        self.neck = BNNeck(self.dim)
        self.classifier = nn.Linear(self.dim, spec.num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)
        self.embedding_denoiser = EmbeddingDenoiser(self.dim) if spec.adapted else None

    def forward(self, images: Tensor) -> ReIDOutput:
        """Map images (B, 3, H, W) to features and class scores, in training and evaluation alike."""
        feat = self.backbone(images)
        bn_feat = self.neck(feat)
        return ReIDOutput(feat, bn_feat, self.classifier(bn_feat))

    def preprocess(self, image: Image.Image | str | Path) -> Tensor:
        """Map an image or an image file to (3, H, W), ready to be stacked for :meth:`embed`.

        Raises:
            InputError: If the file cannot be read as an image.
            ValueError: If the model was built without preprocessing.
        """
        if self.preprocessing is None:
            raise ValueError("the model was built without preprocessing; load_model gives the checkpoint's")
        return self.preprocessing(image)

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to retrieval features (B, D), not normalised and without a gradient.

        For training there is the forward pass.
        """
        feat = self.backbone(images)
        if self.spec.neck_feat == "after":
            feat = self.neck(feat)
        return feat if self.embedding_denoiser is None else self.embedding_denoiser(feat)

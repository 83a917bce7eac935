"""The re-identification model: backbone, BNNeck, classifier."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from reid.models.backbone import create_backbone
from reid.models.neck import BNNeck
from reid.models.output import ReIDOutput
from reid.utils import InputError

NeckFeat = Literal["before", "after"]


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a model again before its weights are loaded.

    Args:
        name: Backbone, one of ``BACKBONES``.
        image_size: Height and width in pixels.
        num_classes: Training identities.
        drop_path: Stochastic depth of vision transformers.
        last_stride: Stride of a ResNet's last stage, 1 or 2.
        neck_feat: Which feature is retrieved with: before or after the BNNeck.

    Raises:
        InputError: If ``neck_feat`` is neither.
    """

    name: str
    image_size: tuple[int, int]
    num_classes: int
    drop_path: float = 0.0
    last_stride: int = 1
    neck_feat: NeckFeat = "before"

    def __post_init__(self) -> None:
        if self.neck_feat not in ("before", "after"):
            raise InputError(f"neck_feat must be before or after, got {self.neck_feat!r}")


class ReIDModel(nn.Module):
    """A backbone with a BNNeck and a bias-free classifier over the training identities.

        feat = backbone(images),  bn_feat = BNNeck(feat),  logits = W bn_feat

    Source: Luo et al., CVPRW 2019; TransReID keeps it.

    Args:
        spec: What to build.

    Raises:
        InputError: If the backbone is unknown or does not fit the image size.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = create_backbone(spec.name, spec.image_size, spec.drop_path, spec.last_stride)
        self.dim = int(self.backbone.num_features)  # type: ignore[arg-type]
        self.neck = BNNeck(self.dim)
        self.classifier = nn.Linear(self.dim, spec.num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, images: Tensor) -> ReIDOutput:
        """Map images (B, 3, H, W) to features and class scores, in training and evaluation alike."""
        feat = self.backbone(images)
        bn_feat = self.neck(feat)
        return ReIDOutput(feat, bn_feat, self.classifier(bn_feat))

    def embed(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to retrieval features (B, D), not normalised."""
        feat = self.backbone(images)
        return feat if self.spec.neck_feat == "before" else self.neck(feat)

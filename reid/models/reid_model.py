"""The re-identification model: backbone, BNNeck, classifier."""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from reid.models.backbones import (
    LEAST_SIDE,
    Branch,
    branches_of,
    create_backbone,
    patch_grid,
    takes_side_information,
)
from reid.models.camera_numbers import Numbers, as_numbers
from reid.models.embedding import EmbeddingDenoiser
from reid.models.neck import BNNeck
from reid.models.output import BranchOutput, ReIDOutput
from reid.models.preprocessing import Preprocessing
from reid.models.spec import ModelSpec
from reid.utils import InputError


class ReIDModel(nn.Module):
    """A backbone with a BNNeck and a bias-free classifier over the training identities, for each branch.

        feat = backbone(images),  bn_feat = BNNeck(feat),  logits = W bn_feat
        retrieval: [scale_1 feat_1, scale_2 feat_2, ..] over the branches, or the same of bn_feat

    Most backbones have one branch, of scale 1. Where ``spec.feat_dim`` is set, a linear layer without bias
    reduces the backbone's feature first.

    Source: Luo et al., CVPRW 2019; TransReID keeps it.

    Args:
        spec: What to build.
        preprocessing: What its images must go through, for :meth:`preprocess`.

    Raises:
        InputError: If the backbone cannot be built, does not fit the image size of the preprocessing, or has
            several branches, which no layer reduces.
    """

    def __init__(self, spec: ModelSpec, preprocessing: Preprocessing | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.preprocessing = preprocessing
        self.backbone = create_backbone(spec)
        if preprocessing and patch_grid(self.backbone) and preprocessing.size != spec.image_size:
            raise InputError(
                f"{spec.name} works at one image size: the preprocessing's {list(preprocessing.size)}"
                f" (INPUT.SIZE_TEST) must equal {list(spec.image_size)} (INPUT.SIZE_TRAIN)"
            )
        if preprocessing and min(preprocessing.size) < LEAST_SIDE and not patch_grid(self.backbone):
            raise InputError(
                f"{spec.name} needs images of {LEAST_SIDE} pixels and more, got {preprocessing.size}"
            )
        self.branches = branches_of(self.backbone)
        self.reduction: nn.Linear | None = None
        if spec.feat_dim:
            self.branches = self._reduced(spec)
        self.feature_denoisers = nn.ModuleList()  # DenoiseRep- has one for each branch
        self.dim = sum(branch.dim for branch in self.branches if branch.scale)
        first, *others = (branch for branch in self.branches if branch.id_weight)
        self.neck, self.classifier = BNNeck(first.dim), _classifier(first.dim, spec.num_classes)
        self.part_necks = nn.ModuleList(BNNeck(branch.dim) for branch in others)
        self.part_classifiers = nn.ModuleList(_classifier(branch.dim, spec.num_classes) for branch in others)
        known = spec.site.cameras if spec.site else ()
        self.embedding_denoiser = EmbeddingDenoiser(self.dim, known) if spec.adapted else None

    def forward(
        self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> ReIDOutput:
        """Map images to features and class scores, in training and evaluation alike.

        Args:
            images: (B, 3, H, W).
            camids: (B,) int64 cameras, -1 unknown; read only where the model has side information, and by
                :meth:`embed` where it was adapted with a mean per camera.
            viewids: (B,) int64 views, likewise.
        """
        return self.classify(self.features(images, camids, viewids))

    def classify(self, feats: tuple[Tensor, ...]) -> ReIDOutput:
        """Map the features of :meth:`features`, each (B, D), through necks and classifiers.

        Returns:
            Of each branch its feature (B, D), the neck's (B, D) and the logits (B, C), the last two None for
            a branch without a classifier.
        """
        necks, classifiers = [self.neck, *self.part_necks], [self.classifier, *self.part_classifiers]
        outputs, place = [], 0
        for branch, feat in zip(self.branches, feats, strict=True):
            if not branch.id_weight:
                outputs.append(BranchOutput(feat, None, None))
                continue
            bn_feat = necks[place](feat)
            outputs.append(BranchOutput(feat, bn_feat, classifiers[place](bn_feat)))
            place += 1
        return ReIDOutput(tuple(outputs))

    def preprocess(self, image: Image.Image | str | Path) -> Tensor:
        """Map a PIL image or an image file to (3, H, W) float32, ready to be stacked for :meth:`embed`.

        Resized to the model's size and normalised; :func:`reid.embed` does this and :meth:`embed` at once.

        Raises:
            InputError: If the file cannot be read as an image, or something else is given.
            ValueError: If the model was built without preprocessing.
        """
        if self.preprocessing is None:
            raise ValueError("the model was built without preprocessing; load_model gives the checkpoint's")
        return self.preprocessing(image)

    @torch.no_grad()
    def embed(self, images: Tensor, camids: Numbers | None = None, viewids: Numbers | None = None) -> Tensor:
        """Map images (B, 3, H, W) to retrieval features (B, dim), not normalised and without a gradient.

        For training there is the forward pass.

        Args:
            images: Prepared as ``preprocessing`` tells, in the data type of the weights.
            camids: (B,) camera of each image, whole numbers from 0 in a list, an array or a tensor; a model
                that tells no cameras apart does not look at them.
            viewids: (B,) view of each image, likewise.

        Raises:
            InputError: If images are no prepared tensors, or there is not one whole number for each.
        """
        if isinstance(images, str | Path | Image.Image | np.ndarray | list):
            raise InputError(
                f"model.embed takes prepared images (B, 3, H, W), got {type(images).__name__}; reid.embed"
                " takes files, arrays and pictures"
            )
        camids, viewids = self._numbers(images, camids, viewids)
        feats = self.features(images, camids, viewids)
        if self.spec.neck_feat == "after":
            necks = iter([self.neck, *self.part_necks])
            pairs = zip(self.branches, feats, strict=True)
            feats = tuple(next(necks)(feat) if branch.id_weight else feat for branch, feat in pairs)
        ranked = [
            feat if branch.scale == 1 else branch.scale * feat
            for branch, feat in zip(self.branches, feats, strict=True)
            if branch.scale
        ]
        feat = ranked[0] if len(ranked) == 1 else torch.cat(ranked, dim=1)
        return feat if self.embedding_denoiser is None else self.embedding_denoiser(feat, camids)

    def features(
        self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Map images (B, 3, H, W) to one feature (B, D) a branch, before the necks.

        Args:
            images: As of :meth:`embed`.
            camids: (B,) int64 on the images' device.
            viewids: (B,) int64 on the images' device.

        Raises:
            InputError: If the images are not (B, 3, H, W) of the size that the model takes.
        """
        # Of a graph that is being traced nothing is known yet.
        if isinstance(images, Tensor):
            self._check_images(images)
        sides = (camids, viewids) if takes_side_information(self.backbone) else ()
        feats = self.backbone(images, *sides)
        if self.reduction is not None:
            feats = self.reduction(feats)
        feats = feats if len(self.branches) > 1 else (feats,)
        if not self.feature_denoisers:
            return feats
        return tuple(denoise(feat) for denoise, feat in zip(self.feature_denoisers, feats, strict=True))

    def _numbers(
        self, images: Tensor, camids: Numbers | None, viewids: Numbers | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Cameras and views as tensors, as far as the model reads them."""
        layer, has_side = self.embedding_denoiser, takes_side_information(self.backbone)
        has_means = layer is not None and layer.camera_weight is not None
        return (
            as_numbers("camids", camids, images) if has_side or has_means else None,
            as_numbers("viewids", viewids, images) if has_side else None,
        )

    def _check_images(self, images: Tensor) -> None:
        """Refuse what would be answered with features of another picture.

        Raises:
            InputError: If the images are no batch, there is none, or they are of another size than the one
                that the backbone's positions belong to.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[0] == 0:
            raise InputError(f"images must be (B, 3, H, W) with at least one, got {tuple(images.shape)}")
        if patch_grid(self.backbone) and tuple(images.shape[2:]) != self.spec.image_size:
            size = tuple(images.shape[2:])
            raise InputError(f"{self.spec.name} was built for images of {self.spec.image_size}, got {size}")

    def _reduced(self, spec: ModelSpec) -> tuple[Branch, ...]:
        """Add the layer that reduces the feature, and return the branch that is left."""
        if len(self.branches) > 1:
            raise InputError(
                f"one feature can be reduced, {spec.name} has {len(self.branches)} here; set"
                " MODEL.REDUCE_FEAT_DIM False"
            )
        self.reduction = nn.Linear(self.branches[0].dim, spec.feat_dim, bias=False)
        nn.init.xavier_uniform_(self.reduction.weight)
        return (Branch(spec.feat_dim),)


def _classifier(dim: int, num_classes: int) -> nn.Linear:
    with warnings.catch_warnings():
        # Without identities there is nothing to initialise, which is as it should be.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        layer = nn.Linear(dim, num_classes, bias=False)
        nn.init.normal_(layer.weight, std=0.001)
    return layer

"""CLIP-ReID's first stage: learn the words of a prompt for every identity, both encoders being frozen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from reid.engine.lr_schedule import warmup_cosine
from reid.losses.contrast import supervised_contrast
from reid.models.backbones import PROJECTED
from reid.models.clip_text import NUM_LEARNED, TextEncoder
from reid.utils import InputError, refresh_interval

# Deviation of the words before they are learned.
INITIAL_STD = 0.02
# Data sets whose images show vehicles.
VEHICLES = {"vehicleid", "veri", "vehicles2cam"}
# Prompts that are encoded at once where no gradient is wanted.
CHUNK = 256


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are learned; the defaults are CLIP-ReID's.

    Args:
        epochs: Passes over the image features.
        batch_size: Image features a batch.
        peak_lr: Adam's learning rate after the warm-up.
        weight_decay: Of the L2 kind, as Adam has it.
        warmup: Epochs before the peak.
        warmup_lr: Rate that the warm-up starts from.
        floor_lr: Rate that the cosine ends at.
        seed: Of the first words and of the batches.

    Raises:
        InputError: If a number is out of its range.
    """

    epochs: int = 120
    batch_size: int = 64
    peak_lr: float = 3.5e-4
    weight_decay: float = 1e-4
    warmup: int = 5
    warmup_lr: float = 1e-5
    floor_lr: float = 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("warmup", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("peak_lr", "weight_decay", "warmup_lr", "floor_lr"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must be in 0..1, got {getattr(self, name)}")

    def learning_rate(self, epoch: int) -> float:
        """The rate in ``epoch`` (from 1).

            e < warmup:  warmup_lr + (peak_lr - warmup_lr) e / warmup
            otherwise:   floor_lr + (peak_lr - floor_lr) (1 + cos(pi e / epochs)) / 2

        The cosine counts from the first epoch, so the rate steps down where the warm-up ends, and the last
        epoch has the floor.
        """
        rates = (self.peak_lr, self.warmup_lr, self.floor_lr)
        return warmup_cosine(*rates, epoch, self.warmup, self.epochs)


class LearnedPrompts(NamedTuple):
    """What the first stage leaves to the second.

    Args:
        cls_ctx: (K, 4, width) float32 words of each identity, on the CPU.
        text_features: (K, D) float32 features of the prompts with them, on the CPU.
        losses: Mean loss of each epoch.
    """

    cls_ctx: Tensor
    text_features: Tensor
    losses: list[float]


class ProjectedFeature(nn.Module):
    """A model whose embedding is the image feature in the space of the texts.

    Args:
        model: Of a CLIP backbone.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def embed(self, images: Tensor, camids: Tensor | None = None, viewids: Tensor | None = None) -> Tensor:
        """Map images (B, 3, H, W) to projected features (B, D), whatever their cameras and views.

        Raises:
            InputError: If the model has no such feature.
        """
        branches = self.model(images).branches
        if len(branches) <= PROJECTED:
            raise InputError(
                "prompts are learned from an image feature in the space of the texts, which this model has"
                " not; use a MODEL.NAME of CLIP, such as clip_vit_base"
            )
        feat: Tensor = branches[PROJECTED].feat
        return feat


def learn_prompts(
    feats: Tensor,
    labels: Tensor,
    encoder: TextEncoder,
    settings: PromptSettings | None = None,
    *,
    progress: bool = True,
) -> LearnedPrompts:
    """Learn four words an identity, so that its prompt's feature and its images pick each other.

        L = L_i2t + L_t2i        over a batch's images and the texts of their identities

    Each is :func:`supervised_contrast`, once from the images and once from the texts. The encoder lies on the
    device that is computed on. The result is a pure function of the arguments.

    Source: Li, Sun, Li, "CLIP-ReID", AAAI 2023, section 3.3, first stage; its release computes in mixed
    precision, this in float32.

    Args:
        feats: (N, D) projected features of the training images, not normalised.
        labels: (N,) int64; every class of 0..K-1 occurs.
        encoder: Of the texts; its weights are not changed.
        settings: Rates, epochs and seed; CLIP-ReID's if None.
        progress: Show a bar on stderr.

    Raises:
        InputError: If features and labels do not fit each other or the encoder, a feature is not finite, a
            class has no image, or the loss is no longer finite.
    """
    settings = settings or PromptSettings()
    num_classes = _check(feats, labels, encoder)
    device = encoder.positional_embedding.device
    feats, labels = feats.detach().float().to(device), labels.to(device)
    generator = torch.Generator().manual_seed(settings.seed)
    first = torch.randn(num_classes, NUM_LEARNED, encoder.width, generator=generator) * INITIAL_STD
    context = first.to(device).requires_grad_()
    optimizer = torch.optim.Adam([context], weight_decay=settings.weight_decay)
    losses: list[float] = []
    epochs = range(1, settings.epochs + 1)
    bar = tqdm(epochs, desc="prompts", unit="epoch", mininterval=refresh_interval(), disable=not progress)
    for epoch in bar:
        optimizer.param_groups[0]["lr"] = settings.learning_rate(epoch)
        total = torch.zeros((), device=device)
        for rows in torch.randperm(len(feats), generator=generator).split(settings.batch_size):
            rows = rows.to(device)
            loss = _contrast(encoder, context, feats[rows], labels[rows])
            # Of the words alone: the encoder may be somebody's who trains it.
            (context.grad,) = torch.autograd.grad(loss, [context])
            optimizer.step()
            total += loss.detach() * len(rows)
        losses.append(total.item() / len(feats))
        # The loss of the next batch would show it too late where there is none.
        if not math.isfinite(losses[-1]) or not context.isfinite().all():
            raise InputError(
                f"prompts and their loss must stay finite, epoch {epoch} gave a loss of {losses[-1]:g}; lower"
                " peak_lr"
            )
        bar.set_postfix(loss=f"{losses[-1]:.3f}")
    return LearnedPrompts(context.detach().cpu(), encode_contexts(encoder, context), losses)


def noun_of(names: Sequence[str]) -> str:
    """What the prompt calls the subjects of the data sets ``names``."""
    return "vehicle" if VEHICLES.issuperset(names) else "person"


def encode_contexts(encoder: TextEncoder, context: Tensor) -> Tensor:
    """Features (K, D) float32, on the CPU, of the prompts with the words ``context`` (K, 4, width)."""
    device = encoder.positional_embedding.device
    with torch.no_grad():
        return torch.cat([encoder(part.to(device)).float().cpu() for part in context.split(CHUNK)])


def _contrast(encoder: TextEncoder, context: Tensor, feats: Tensor, labels: Tensor) -> Tensor:
    classes, places = labels.unique(return_inverse=True)
    texts = encoder(context[classes])[places]  # (B, D): an identity's prompt is encoded once
    return supervised_contrast(feats, texts, labels, labels) + supervised_contrast(
        texts, feats, labels, labels
    )


def _check(feats: Tensor, labels: Tensor, encoder: TextEncoder) -> int:
    """The number of classes."""
    if feats.ndim != 2 or labels.shape != feats.shape[:1] or not len(feats):
        raise InputError(
            f"image features must be (N, D) with one label each, got {tuple(feats.shape)} and"
            f" {tuple(labels.shape)}"
        )
    if feats.shape[1] != encoder.out_dim:
        raise InputError(
            f"image and text features must have one width, got {feats.shape[1]} and {encoder.out_dim}; use"
            " the two encoders of one CLIP model"
        )
    bad = int((~feats.float().isfinite()).any(1).sum())
    if bad:
        raise InputError(f"image features must be finite, {bad} of {len(feats)} are not; check the weights")
    classes = labels.unique()
    if labels.is_floating_point() or classes.tolist() != list(range(len(classes))):
        raise InputError(
            f"labels must be whole numbers 0..K-1, each with an image, got {len(classes)} from"
            f" {classes[0].item()} to {classes[-1].item()}; number them with reid.data.relabel"
        )
    return len(classes)

"""Whether images look like those that a model was trained on."""

import logging
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from reid.evaluation.features import evaluation_mode
from reid.models import ReIDModel, Training
from reid.models.training import WITHOUT_BACKBONE

logger = logging.getLogger(__name__)

SURE = 0.5  # a probability that images of other people do not come near: their median is about 0.05
MOST_IMAGES = 512
Inputs = Sequence[Tensor | None]


def is_familiar(
    model: ReIDModel,
    training: Training | None,
    title: str,
    batches: Iterable[Inputs],
    num_images: int | None = None,
) -> bool:
    """Whether a site's images are those of the training, or look like them.

    They are where a backbone of the chain was trained on the data set of that title; label-free denoising and
    adaptation train none, and need no identities. They look like them where the
    classifier is sure whom it sees: where the median over images of its largest probability is above a half.

    Args:
        model: Any; one without a classifier tells nothing.
        training: What its weights come from, as far as is known.
        title: Of the site's data set.
        batches: What the model is given: images (B, 3, H, W), then cameras and views where it knows them. The
            first 512 images are looked at.
        num_images: Of a list, whose title another list may have too: how many a training on it had.
    """
    while training is not None:
        is_same = training.dataset == title and num_images in (None, training.num_images)
        if is_same and training.stage not in WITHOUT_BACKBONE:
            logger.warning("the model was trained on %s itself", title)
            return True
        training = training.before
    if model.spec.num_classes < 2:
        return False
    sure = _sureness(model, batches)
    if sure > SURE:
        logger.warning(
            "the images look like those that the model was trained on: its classifier is sure by %.0f %% whom"
            " it sees (median)",
            100 * sure,
        )
    return sure > SURE


def _sureness(model: ReIDModel, batches: Iterable[Inputs]) -> float:
    found: list[Tensor] = []
    with evaluation_mode(model), torch.inference_mode():
        for inputs in batches:
            logits = model(*inputs).branches[0].logits
            if logits is None:
                return 0.0
            found.append(logits.softmax(1).amax(1).cpu())
            if sum(map(len, found)) >= MOST_IMAGES:
                break
    return float(torch.cat(found).median()) if found else 0.0

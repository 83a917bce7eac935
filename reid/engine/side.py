"""Whose cameras and views a model tells apart, and what to give it for the images of a data set."""

import logging

import numpy as np
from torch import Tensor

from reid.data import Batch, Records
from reid.data.records import UNKNOWN
from reid.models import SideSpec

logger = logging.getLogger(__name__)


def knows_cameras_of(side: SideSpec | None, dataset: str) -> bool:
    """Whether a model with ``side`` is to be given the cameras and views of a data set's images.

    Camera 3 of one data set is not camera 3 of another: on images of another set than the table's the mean
    of the embeddings is used. Where it is not known whose cameras they are, the numbers are taken as they
    are.

    Args:
        side: The model's side information; None where it has none.
        dataset: The name of the data set.
    """
    return side is not None and side.dataset in ("", dataset)


def side_inputs(batch: Batch, is_known: bool) -> tuple[Tensor | None, Tensor | None]:
    """Cameras (B,) and views (B,) of a batch, or nothing of either."""
    return (batch.camids, batch.viewids) if is_known else (None, None)


def log_unknown(side: SideSpec | None, dataset: str, records: Records) -> None:
    """Say how many images take the mean embedding, because their camera or view is not in the table."""
    if side is None:
        return
    if not knows_cameras_of(side, dataset):
        logger.warning(
            "side information is of the cameras of %s: images of %s take the mean embedding",
            side.dataset,
            dataset,
        )
        return
    for name, known, column in (
        ("camera", side.cameras, records.camids),
        ("view", side.views, records.viewids),
    ):
        count = int((~np.isin(column, known)).sum()) if known else 0
        if count:
            unknown = int((column == UNKNOWN).sum())
            logger.warning(
                "%d of %d images take the mean embedding: their %s is not among the %d that were trained on"
                " (%d have none)",
                *(count, len(records), name, len(known), unknown),
            )

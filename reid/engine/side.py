"""Whose cameras and views a model tells apart, and what to give it for the images of a data set."""

import logging

import numpy as np
from torch import Tensor

from reid.data import Batch, Records
from reid.data.records import UNKNOWN
from reid.models import ModelSpec, SideSpec, SiteSpec
from reid.utils import short_name

logger = logging.getLogger(__name__)


def table_of(spec: ModelSpec) -> SideSpec | SiteSpec | None:
    """Whose cameras a model tells apart when it embeds: by side information, or by means of an adaptation.

    With both, they are of one data set (``reid.engine.adapt``).
    """
    return spec.side or spec.site


def knows_cameras_of(table: SideSpec | SiteSpec | None, dataset: str) -> bool:
    """Whether a model with ``table`` is to be given the cameras and views of a data set's images.

    Camera 3 of one data set is not camera 3 of another: on images of another set than the table's the mean
    of the embeddings, or of all cameras, is used. Where it is not known whose cameras they are, the numbers
    are taken as they are. Older checkpoints keep a list's file name alone.

    Args:
        table: What the model knows; None where it tells nothing apart.
        dataset: The name of the data set, of a list with its folders.
    """
    return table is not None and table.dataset in ("", dataset, short_name(dataset))


def side_inputs(batch: Batch, is_known: bool) -> tuple[Tensor | None, Tensor | None]:
    """Cameras (B,) and views (B,) of a batch, or nothing of either."""
    return (batch.camids, batch.viewids) if is_known else (None, None)


def log_unknown(table: SideSpec | SiteSpec | None, dataset: str, records: Records) -> None:
    """Say how many images take a mean over cameras, because their camera or view is not in the table."""
    if table is None:
        return
    what, instead = "side information is", "the mean embedding"
    if isinstance(table, SiteSpec):
        what, instead = "the adaptation's means are", "one mean for all"
    if not knows_cameras_of(table, dataset):
        names = (short_name(table.dataset), short_name(dataset))
        # Of one file name the folders tell them apart.
        names = names if names[0] != names[1] else (table.dataset, dataset)
        logger.warning(
            "%s of the cameras of %s: images of %s take %s; put all images of one site into one list, whose"
            " split column tells them apart, or pass camids to embed",
            *(what, *names, instead),
        )
        return
    views = () if isinstance(table, SiteSpec) else table.views
    for name, known, column in (("camera", table.cameras, records.camids), ("view", views, records.viewids)):
        count = int((~np.isin(column, known)).sum()) if known else 0
        if count:
            unknown = int((column == UNKNOWN).sum())
            logger.warning(
                "%d of %d images take %s: their %s is not among the %d known ones (%d have none)",
                *(count, len(records), instead, name, len(known), unknown),
            )

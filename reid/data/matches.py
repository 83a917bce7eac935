"""Which queries can be answered at all, counted before any feature is computed."""

import logging

import numpy as np
from numpy.typing import NDArray

from reid.data.records import UNKNOWN, Records, Trial

logger = logging.getLogger(__name__)


def count_matches(records: Records, trial: Trial) -> NDArray[np.int64]:
    """(Q,) how many true matches each query of ``trial`` has in the gallery.

    As in ``reid.evaluation.relevance``: a match is of the same known identity, and not by the same known
    camera. A query that is in the gallery itself counts as its own match where its camera is unknown.
    """
    rows = np.concatenate([trial.query, trial.gallery])
    pids = np.unique(records.pids[rows], return_inverse=True)[1]
    camids = np.unique(records.camids[rows], return_inverse=True)[1]
    pairs = np.unique(pids * len(rows) + camids, return_inverse=True)[1]
    same_camera = np.where(
        records.camids[trial.query] == UNKNOWN, 0, _count_in_gallery(pairs, len(trial.query))
    )
    matches = _count_in_gallery(pids, len(trial.query)) - same_camera
    return np.where(records.pids[trial.query] == UNKNOWN, 0, matches)


def warn_of_queries_without_match(source: str, records: Records, trial: Trial) -> None:
    """Log how many queries have no true match, and a trial that lacks a side.

    Args:
        source: What the message calls the data.
        records: The test images.
        trial: Its rows.
    """
    num_query, num_gallery = len(trial.query), len(trial.gallery)
    if bool(num_query) != bool(num_gallery):
        there, absent = ("query", "gallery") if num_query else ("gallery", "query")
        logger.warning("%s has %s images but no %s images: nothing can be evaluated", source, there, absent)
        return
    missing = int(np.count_nonzero(count_matches(records, trial) == 0))
    if missing:
        logger.warning(
            "%d of %d queries in %s have no gallery image of their identity from another camera; "
            "they are left out of every figure",
            missing,
            num_query,
            source,
        )


def _count_in_gallery(keys: NDArray[np.int64], num_query: int) -> NDArray[np.int64]:
    """(Q,) how often the key of each of the first ``num_query`` rows is among the other rows."""
    return np.bincount(keys[num_query:], minlength=len(keys))[keys[:num_query]]

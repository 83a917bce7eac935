"""Distances of true and of false matches."""

import numpy as np
import torch
from numpy.typing import NDArray

from reid.data.records import UNKNOWN
from reid.evaluation.features import FeatureSet
from reid.evaluation.relevance import relevance
from reid.evaluation.report.choose import evenly_spread
from reid.evaluation.report.content import Distances
from reid.evaluation.similarity import prepare_features, similarity

MAX_PAIRS = 1 << 22  # distances held for each model


def sample_distances(
    features: FeatureSet,
    query: NDArray[np.int64],
    gallery: NDArray[np.int64],
    metric: str,
    max_pairs: int = MAX_PAIRS,
) -> Distances:
    """Compare queries with the whole gallery; evenly spread ones where all would be too many pairs.

    Junk and gallery images of identity -1 are left out, as metrics leave them out.

    Args:
        features: Of all test images.
        query: (Q,) rows of the queries, at least one.
        gallery: (G,) rows of the gallery.
        metric: ``cosine`` or ``euclidean``.
        max_pairs: Compared at most, but for one query always.
    """
    gallery = gallery[(features.pids[torch.as_tensor(gallery)] != UNKNOWN).numpy()]
    query = evenly_spread(query, max(1, max_pairs // len(gallery)))
    one, other = features.select(query), features.select(gallery)
    is_match, is_junk = relevance(one.pids, one.camids, other.pids, other.camids)
    similarities = similarity(*prepare_features(one.feats, other.feats, metric), metric)
    found = as_distance(similarities.numpy(), metric)
    return Distances(found[is_match.numpy()], found[~(is_match | is_junk).numpy()], len(query))


def as_distance(similarities: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    """Turn what ``similarity`` gives into distances of the same shape.

    cosine:     d = 1 - s           in [0, 2]
    euclidean:  d = sqrt(-s)        at least 0
    """
    return (1 - similarities).clip(0) if metric == "cosine" else np.sqrt((-similarities).clip(0))

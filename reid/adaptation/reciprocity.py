"""How well images of one identity find each other across cameras, told without labels: the way back.

    j(i)   the image nearest to i among those that other cameras took
    b(i)   1 / rank of i among the images nearest to j(i) that cameras other than j(i)'s took

A way that leads back, b = 1, is a mutual nearest pair. Where noise hides identities, some images become
everybody's nearest (hubs) and the way back leads elsewhere. b is a rank, so unlike a ratio of distances it
compares spaces of any scale and any number of effective dimensions.
"""

import numpy as np
from numpy.typing import NDArray

from reid.adaptation.pairs import Features, Indices, cross_camera_neighbours

DEPTH = 10  # ranks that are looked at; an image farther down the list counts as not found


def reciprocity(features: Features, camids: Indices) -> NDArray[np.float64]:
    """B of every image.

    Args:
        features: (N, D) float32, unit length.
        camids: (N,) cameras.

    Returns:
        (N,) in [0, 1]; 0 where i is not among the 10 nearest to j(i), or no other camera took an image.

    Raises:
        InputError: If faiss is not installed, or lengths differ.
    """
    _, nearest = cross_camera_neighbours(features, camids, DEPTH)
    partner = nearest[:, 0]
    is_self = nearest[partner] == np.arange(len(features))[:, None]  # (N, DEPTH)
    is_self &= (partner >= 0)[:, None]
    return (is_self / np.arange(1, DEPTH + 1)).sum(axis=1)

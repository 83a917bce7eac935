"""What tells models apart without reading their weights: their features of one picture."""

import numpy as np
from numpy.typing import NDArray

from reid.models import ReIDModel
from reid.retrieval.images import embed

HEIGHT, WIDTH = 64, 32
# Of a feature's length: half precision moves features by less, another model by more.
MOST_APART = 0.02


def mark_of(model: ReIDModel) -> NDArray[np.float32]:
    """The feature (D,) of a picture of three slopes, of length 1.

    Args:
        model: As for :func:`embed`.

    Raises:
        InputError: As :func:`embed`.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([4 * rows, 8 * columns, 255 - 2 * rows - 4 * columns], axis=-1).clip(0, 255)
    return embed(model, picture.astype(np.uint8), normalize=True)[0].numpy()


def is_mark(found: NDArray[np.float32], dim: int) -> bool:
    """Whether an array can be the mark of a model of this width."""
    return found.shape == (dim,) and found.dtype == np.float32 and bool(np.isfinite(found).all())


def is_same_mark(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two marks (D,) can be of one model, on whatever device and in whatever precision."""
    return one.shape == other.shape and bool(np.linalg.norm(one - other) <= MOST_APART)

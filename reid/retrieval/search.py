"""Images, looked for in a gallery that is at hand or saved."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from reid.models import ReIDModel
from reid.retrieval.gallery import Gallery
from reid.retrieval.images import BATCH, Picture, embed


def search(
    model: ReIDModel,
    images: Picture | Sequence[Picture],
    gallery: Gallery | str | Path,
    k: int = 10,
    *,
    camids: Sequence[int] | None = None,
    is_bgr: bool = False,
    batch_size: int = BATCH,
) -> tuple[Tensor, Tensor]:
    """Find what a gallery has that looks most like each of the images: ``embed``, then ``Gallery.search``.

    Args:
        model: The one that the gallery's features are of; one of ``Gallery.of`` knows it.
        images: As of :func:`embed`.
        gallery: A :class:`Gallery`, or the ``.npz`` file of one; who searches often loads it once.
        k: How many to find of each image; at most as many as there are.
        camids: As of :func:`embed`.
        is_bgr: As of :func:`embed`.
        batch_size: As of :func:`embed`.

    Returns:
        (Q, k) int64 ids, best first, and (Q, k) float32 scores, larger is closer.

    Raises:
        InputError: If the gallery holds another model's features, as far as it knows, or :func:`embed`,
            ``Gallery.load`` or ``Gallery.search`` refuses.
    """
    if not isinstance(gallery, Gallery):
        gallery = Gallery.load(gallery)
    if gallery.dim == model.dim:  # of another width the search itself is refused
        gallery.check_model(model)
    feats = embed(model, images, camids=camids, is_bgr=is_bgr, batch_size=batch_size)
    return gallery.search(feats, k)

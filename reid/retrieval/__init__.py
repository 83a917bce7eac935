"""The library's short way: images to features, and a gallery of features that is searched."""

from reid.retrieval.boxes import embed_boxes
from reid.retrieval.gallery import Gallery
from reid.retrieval.images import embed

__all__ = ["Gallery", "embed", "embed_boxes"]

"""The library's short way: images to features, and a gallery of features that is searched."""

from reid.retrieval.boxes import embed_boxes
from reid.retrieval.gallery import Gallery
from reid.retrieval.images import embed, find_images
from reid.retrieval.search import search

__all__ = ["Gallery", "embed", "embed_boxes", "find_images", "search"]

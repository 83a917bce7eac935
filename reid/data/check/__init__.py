"""Whether a data set on disk is the published one: counts, images that cannot be read, images twice."""

from reid.data.check.images import ImageFact, check_images
from reid.data.check.published import PUBLISHED, Published, published_counts
from reid.data.check.report import HEADER, SetReport, report_sets
from reid.data.check.search import FoundSet, find_sets
from reid.data.check.twins import Twins, find_twins

__all__ = [
    "HEADER",
    "PUBLISHED",
    "FoundSet",
    "ImageFact",
    "Published",
    "SetReport",
    "Twins",
    "check_images",
    "find_sets",
    "find_twins",
    "published_counts",
    "report_sets",
]

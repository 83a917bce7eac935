"""Weights of the field's other code bases: which format a file has, and its way into our models."""

from reid.models.formats.detect import FileFormat, detect
from reid.models.formats.families import FAMILIES, Family
from reid.models.formats.load import Imported, convert, detect_in, import_content, load_pretrained, start_from
from reid.models.formats.plan import ImportOptions, plan_model
from reid.models.formats.read import read_weights
from reid.models.formats.report import ImportReport

__all__ = [
    "FAMILIES",
    "Family",
    "FileFormat",
    "ImportOptions",
    "ImportReport",
    "Imported",
    "convert",
    "detect",
    "detect_in",
    "import_content",
    "load_pretrained",
    "plan_model",
    "read_weights",
    "start_from",
]

"""Weights of the field's other code bases: which format a file has, and its way into our models."""

from reid.models.formats.convert import Imported, convert
from reid.models.formats.detect import FileFormat, detect
from reid.models.formats.families import FAMILIES, Family
from reid.models.formats.read import read_weights
from reid.models.formats.report import ImportReport

__all__ = [
    "FAMILIES",
    "Family",
    "FileFormat",
    "ImportReport",
    "Imported",
    "convert",
    "detect",
    "read_weights",
]

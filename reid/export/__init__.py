"""A fused model in the files of other runtimes, each compared with the model that it was made of."""

from reid.export.export import FORMATS, Difference, Settings, export_model, pick_format
from reid.export.plain import KEYS, plain_keys

__all__ = ["FORMATS", "KEYS", "Difference", "Settings", "export_model", "pick_format", "plain_keys"]

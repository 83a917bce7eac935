"""Re-identification with denoisers that fuse into the backbone (DenoiseRep, NeurIPS 2024)."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

__all__ = ["Gallery", "__version__", "embed", "embed_boxes", "load_model", "search"]

_HOMES = {
    "Gallery": "reid.retrieval",
    "embed": "reid.retrieval",
    "embed_boxes": "reid.retrieval",
    "load_model": "reid.models",
    "search": "reid.retrieval",
}


def __getattr__(name: str) -> Any:
    # Lazily, so that `import reid` and `reid.denoise` do not pay for timm.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'reid' has no attribute '{name}'")

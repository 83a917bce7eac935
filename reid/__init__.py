"""Re-identification with denoisers that fuse into the backbone (DenoiseRep, NeurIPS 2024)."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Gallery": "reid.retrieval",
    "InputError": "reid.utils",
    "embed": "reid.retrieval",
    "embed_boxes": "reid.retrieval",
    "find_images": "reid.retrieval",
    "load_model": "reid.models",
    "search": "reid.retrieval",
}
__all__ = [
    "Gallery",
    "InputError",
    "__version__",
    "embed",
    "embed_boxes",
    "find_images",
    "load_model",
    "search",
]


def __getattr__(name: str) -> Any:
    # Lazily, so that `import reid` and `reid.denoise` do not pay for timm.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'reid' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

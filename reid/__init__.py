"""Re-identification with denoisers that fuse into the backbone (DenoiseRep, NeurIPS 2024)."""

from typing import Any

__version__ = "0.1.0"

__all__ = ["__version__", "load_model"]


def __getattr__(name: str) -> Any:
    # Lazily, so that `import reid` and `reid.denoise` do not pay for timm.
    if name == "load_model":
        from reid.models import load_model

        return load_model
    raise AttributeError(f"module 'reid' has no attribute '{name}'")

"""Re-identification with denoisers that fuse into the backbone (DenoiseRep, NeurIPS 2024)."""

__version__ = "0.1.0"

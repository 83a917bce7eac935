"""Losses with labels; the denoising loss is in reid.denoise."""

from reid.losses.criterion import IdentityTripletLoss, Loss
from reid.losses.triplet import batch_hard_triplet

__all__ = ["IdentityTripletLoss", "Loss", "batch_hard_triplet"]

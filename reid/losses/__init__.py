"""Losses with labels; the denoising loss is in reid.denoise."""

from reid.losses.criterion import BranchTerm, IdentityTripletLoss, Loss
from reid.losses.triplet import batch_hard_triplet

__all__ = ["BranchTerm", "IdentityTripletLoss", "Loss", "batch_hard_triplet"]

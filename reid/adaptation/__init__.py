"""Better retrieval on a site's own cameras, from unlabelled images: camera-noise denoising of embeddings."""

from reid.adaptation.batchnorm import has_batchnorm, reestimate_batchnorm
from reid.adaptation.camera_noise import CameraNoiseDenoiser, fit_camera_noise, noise_covariance
from reid.adaptation.choose import (
    LEAST_PAIRS,
    Candidate,
    Choice,
    choose_camera_noise,
    nearness,
    standard_error,
)
from reid.adaptation.pairs import cross_camera_neighbours, cross_camera_pairs, mutual_pairs

__all__ = [
    "LEAST_PAIRS",
    "CameraNoiseDenoiser",
    "Candidate",
    "Choice",
    "choose_camera_noise",
    "cross_camera_neighbours",
    "cross_camera_pairs",
    "fit_camera_noise",
    "has_batchnorm",
    "mutual_pairs",
    "nearness",
    "noise_covariance",
    "reestimate_batchnorm",
    "standard_error",
]

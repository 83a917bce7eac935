"""Better retrieval on a site's own cameras, from unlabelled images: camera-noise denoising of embeddings."""

from reid.adaptation.batchnorm import has_batchnorm, reestimate_batchnorm
from reid.adaptation.camera_noise import CameraNoiseDenoiser, fit_camera_noise, whiten
from reid.adaptation.choose import (
    Candidate,
    Choice,
    Judgement,
    Setting,
    choose_camera_noise,
    judge,
)
from reid.adaptation.denoiser_file import load_denoiser, save_denoiser
from reid.adaptation.fit import NoiseSettings, fit_noise
from reid.adaptation.noise import Noise, measure_noise, noise_covariance
from reid.adaptation.pairs import cross_camera_neighbours, cross_camera_pairs, mutual_pairs
from reid.adaptation.reciprocity import reciprocity
from reid.adaptation.tracklets import tracklet_pairs

__all__ = [
    "CameraNoiseDenoiser",
    "Candidate",
    "Choice",
    "Judgement",
    "Noise",
    "NoiseSettings",
    "Setting",
    "choose_camera_noise",
    "cross_camera_neighbours",
    "cross_camera_pairs",
    "fit_camera_noise",
    "fit_noise",
    "has_batchnorm",
    "judge",
    "load_denoiser",
    "measure_noise",
    "mutual_pairs",
    "noise_covariance",
    "reciprocity",
    "reestimate_batchnorm",
    "save_denoiser",
    "tracklet_pairs",
    "whiten",
]
